/* Operations on names: lookup, make, remove, rename. */
#include "nullfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void do_lookup(struct request *request)
{
	struct dentry *dentry = dentry_find(request->node, request->body);
	if (dentry) {
		reply_entry(request, dentry->node);
	} else if (caching) {
		/* nodeid 0 makes the kernel remember that there is no such name. */
		struct fuse_entry_out none = {.entry_valid = 1};
		reply(request, 0, &none, sizeof(none));
	} else {
		reply(request, ENOENT, NULL, 0);
	}
}

void do_forget(struct request *request)
{
	const struct fuse_forget_in *forget = request->body;
	node_forget(request->node, forget->nlookup);
}

void do_batch_forget(struct request *request)
{
	const struct fuse_batch_forget_in *batch = request->body;
	const struct fuse_forget_one *one = (const void *)(batch + 1);
	for (uint32_t i = 0; i < batch->count; i++)
		node_forget(node_of(one[i].nodeid), one[i].nlookup);
}

/* Makes a node under a name; NULL when it has answered with the error. */
static struct node *make(struct request *request, const char *name, uint32_t mode)
{
	int error = EEXIST;
	struct node *node = NULL;
	if (!dentry_find(request->node, name)) {
		node = node_new(mode, request->in->uid, request->in->gid);
		error = node ? dentry_add(request->node, name, node) : ENOMEM;
	}
	if (!error)
		return node;
	free(node);
	reply(request, error, NULL, 0);
	return NULL;
}

void do_mknod(struct request *request)
{
	const struct fuse_mknod_in *in = request->body;
	struct node *node = make(request, (const char *)(in + 1), in->mode);
	if (!node)
		return;
	node->rdev = in->rdev;
	reply_entry(request, node);
}

void do_mkdir(struct request *request)
{
	const struct fuse_mkdir_in *in = request->body;
	struct node *node = make(request, (const char *)(in + 1), S_IFDIR | in->mode);
	if (node)
		reply_entry(request, node);
}

void do_symlink(struct request *request)
{
	const char *name = request->body, *target = name + strlen(name) + 1;
	struct node *node = make(request, name, S_IFLNK | 0777);
	if (!node)
		return;
	if (!node_resize(node, strlen(target)))
		memcpy(node->data, target, node->size);
	reply_entry(request, node);
}

void do_link(struct request *request)
{
	const struct fuse_link_in *in = request->body;
	struct node *node = node_of(in->oldnodeid);
	const char *name = (const char *)(in + 1);
	int error = dentry_find(request->node, name) ? EEXIST : dentry_add(request->node, name, node);
	if (error)
		reply(request, error, NULL, 0);
	else
		reply_entry(request, node);
}

void do_create(struct request *request)
{
	const struct fuse_create_in *in = request->body;
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	struct node *node = make(request, (const char *)(in + 1), S_IFREG | in->mode);
	if (!node)
		return;
	fill_entry(node, &out.entry);
	fill_open(&out.open);
	reply(request, 0, &out, sizeof(out));
}

static void remove_name(struct request *request, int directory)
{
	struct dentry *dentry = dentry_find(request->node, request->body);
	int error = 0;
	if (!dentry)
		error = ENOENT;
	else if ((S_ISDIR(dentry->node->mode) ? 1 : 0) != directory)
		error = directory ? ENOTDIR : EISDIR;
	else if (dentry->node->live > 0)
		error = ENOTEMPTY;
	else {
		if (directory)
			dentry->node->nlink--; /* its own "." */
		dentry_remove(dentry);
	}
	reply(request, error, NULL, 0);
}

void do_unlink(struct request *request)
{
	remove_name(request, 0);
}

void do_rmdir(struct request *request)
{
	remove_name(request, 1);
}

static int rename_to(struct node *from, const char *name, struct node *to, const char *new_name)
{
	struct dentry *source = dentry_find(from, name), *target = dentry_find(to, new_name);
	if (!source)
		return ENOENT;
	struct node *node = source->node;
	if (target && target->node == node)
		return 0;
	if (target && target->node->live > 0)
		return ENOTEMPTY;
	if (target) {
		if (S_ISDIR(target->node->mode))
			target->node->nlink--;
		dentry_remove(target);
	}
	int error = dentry_add(to, new_name, node);
	if (!error)
		dentry_remove(source);
	return error;
}

void do_rename(struct request *request)
{
	const struct fuse_rename_in *in = request->body;
	const char *name = (const char *)(in + 1), *new_name = name + strlen(name) + 1;
	reply(request, rename_to(request->node, name, node_of(in->newdir), new_name), NULL, 0);
}

void do_rename2(struct request *request)
{
	const struct fuse_rename2_in *in = request->body;
	const char *name = (const char *)(in + 1), *new_name = name + strlen(name) + 1;
	int error = EINVAL;
	if (!(in->flags & ~1u)) /* RENAME_NOREPLACE is 1; the others are not needed here */
		error = in->flags && dentry_find(node_of(in->newdir), new_name)
				? EEXIST
				: rename_to(request->node, name, node_of(in->newdir), new_name);
	reply(request, error, NULL, 0);
}
