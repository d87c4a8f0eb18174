/* The tree: nodes, and names found through one hash table. */
#include "nullfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKETS (1u << 17)

struct node root = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2, .lookups = 1};
static struct dentry *buckets[BUCKETS];
static uint64_t next_ino = 2;

struct timespec now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

struct node *node_of(uint64_t nodeid)
{
	return nodeid == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)nodeid;
}

uint64_t nodeid_of(const struct node *node)
{
	return node == &root ? FUSE_ROOT_ID : (uint64_t)(uintptr_t)node;
}

/* FNV-1a over the name, begun with the parent. */
static struct dentry **bucket_of(const struct node *parent, const char *name)
{
	uint64_t hash = 14695981039346656037u ^ (uintptr_t)parent;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 1099511628211u;
	return &buckets[(hash ^ (hash >> 32)) & (BUCKETS - 1)];
}

struct node *node_new(uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct node *node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->ino = next_ino++;
	node->mode = mode;
	node->uid = uid;
	node->gid = gid;
	node->nlink = S_ISDIR(mode) ? 1 : 0;
	node->atime = node->mtime = node->ctime = now();
	return node;
}

/* Sets the size; new bytes read as zero. Returns 0 or an errno. */
int node_resize(struct node *node, uint64_t size)
{
	if (size > node->capacity) {
		size_t capacity = node->capacity * 2 > size ? node->capacity * 2 : size;
		char *data = realloc(node->data, capacity);
		if (!data)
			return ENOSPC;
		node->data = data;
		node->capacity = capacity;
	}
	if (size > node->size)
		memset(node->data + node->size, 0, size - node->size);
	node->size = size;
	return 0;
}

static void node_free_if_unused(struct node *node)
{
	if (node == &root || node->nlink > 0 || node->lookups > 0)
		return;
	free(node->data);
	free(node->slots);
	free(node);
}

void node_forget(struct node *node, uint64_t lookups)
{
	node->lookups -= lookups;
	node_free_if_unused(node);
}

struct dentry *dentry_find(const struct node *parent, const char *name)
{
	struct dentry *dentry = *bucket_of(parent, name);
	while (dentry && (dentry->parent != parent || strcmp(dentry->name, name) != 0))
		dentry = dentry->next;
	return dentry;
}

int dentry_add(struct node *parent, const char *name, struct node *node)
{
	size_t length = strlen(name);
	struct dentry *dentry = malloc(sizeof(*dentry) + length + 1);
	if (!dentry)
		return ENOMEM;
	if (parent->slot_count == parent->slot_capacity) {
		uint32_t capacity = parent->slot_capacity ? parent->slot_capacity * 2 : 8;
		struct dentry **slots = realloc(parent->slots, capacity * sizeof(*slots));
		if (!slots) {
			free(dentry);
			return ENOMEM;
		}
		parent->slots = slots;
		parent->slot_capacity = capacity;
	}
	struct dentry **bucket = bucket_of(parent, name);
	*dentry = (struct dentry){.parent = parent, .node = node, .next = *bucket,
				  .slot = parent->slot_count, .length = length};
	memcpy(dentry->name, name, length + 1);
	*bucket = dentry;
	parent->slots[parent->slot_count++] = dentry;
	parent->live++;
	parent->mtime = parent->ctime = now();
	node->nlink++;
	if (S_ISDIR(node->mode)) {
		node->parent = parent;
		parent->nlink++;
	}
	return 0;
}

void dentry_remove(struct dentry *dentry)
{
	struct node *parent = dentry->parent, *node = dentry->node;
	struct dentry **link = bucket_of(parent, dentry->name);
	while (*link != dentry)
		link = &(*link)->next;
	*link = dentry->next;
	parent->slots[dentry->slot] = NULL;
	/* Slots are offsets that a reader may hold, so only the tail may shrink. */
	while (parent->slot_count > 0 && !parent->slots[parent->slot_count - 1])
		parent->slot_count--;
	parent->live--;
	parent->mtime = parent->ctime = node->ctime = now();
	node->nlink--;
	if (S_ISDIR(node->mode))
		parent->nlink--;
	free(dentry);
	node_free_if_unused(node);
}
