/*
 * nullfs: a file system in memory behind the kernel's FUSE protocol, in C.
 *
 * It does no input or output of its own, so its figures are the floor: what the
 * kernel, the wake-ups and the copies of any FUSE daemon cost on this machine.
 * Protocol: linux/fuse.h, fs/fuse/dev.c. One thread; a nodeid is the address of
 * its struct node, 1 is the root.
 */
#ifndef NULLFS_H
#define NULLFS_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct dentry;

struct node {
	uint64_t ino, size, lookups;
	uint32_t mode, uid, gid, nlink, rdev;
	struct timespec atime, mtime, ctime;
	char *data; /* contents of a file, target of a symlink */
	size_t capacity;
	struct dentry **slots; /* of a directory, by readdir offset - 1; holes are NULL */
	uint32_t slot_count, slot_capacity, live;
	struct node *parent;
};

struct dentry {
	struct node *parent, *node;
	struct dentry *next; /* in its hash bucket */
	uint32_t slot, length;
	char name[];
};

struct request {
	const struct fuse_in_header *in;
	const void *body;
	struct node *node;
};

/* What the command line chose. */
extern int caching; /* 0: zero timeouts and direct_io */
extern int writeback;
extern int device;

/* tree.c */
extern struct node root;
struct node *node_new(uint32_t mode, uint32_t uid, uint32_t gid);
int node_resize(struct node *node, uint64_t size);
void node_forget(struct node *node, uint64_t lookups);
struct dentry *dentry_find(const struct node *parent, const char *name);
int dentry_add(struct node *parent, const char *name, struct node *node);
void dentry_remove(struct dentry *dentry);
struct node *node_of(uint64_t nodeid);
uint64_t nodeid_of(const struct node *node);
struct timespec now(void);

/* reply.c */
void reply(const struct request *request, int error, const void *data, size_t size);
void reply_entry(const struct request *request, struct node *node);
void fill_attr(const struct node *node, struct fuse_attr *attr);
void fill_entry(struct node *node, struct fuse_entry_out *out);
void fill_open(struct fuse_open_out *out);

/* The other files: each answers its request, except where the protocol wants no answer. */
void do_lookup(struct request *);
void do_forget(struct request *);
void do_batch_forget(struct request *);
void do_mknod(struct request *);
void do_mkdir(struct request *);
void do_symlink(struct request *);
void do_link(struct request *);
void do_create(struct request *);
void do_unlink(struct request *);
void do_rmdir(struct request *);
void do_rename(struct request *);
void do_rename2(struct request *);
void do_readdir(struct request *);
void do_readdirplus(struct request *);
void do_init(struct request *);
void do_getattr(struct request *);
void do_setattr(struct request *);
void do_readlink(struct request *);
void do_open(struct request *);
void do_opendir(struct request *);
void do_read(struct request *);
void do_write(struct request *);
void do_statfs(struct request *);
void do_done(struct request *);

#endif
