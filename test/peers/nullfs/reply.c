/* Answers to the kernel. */
#include "nullfs.h"

#include <sys/uio.h>

#define LONG_TIME 86400

void reply(const struct request *request, int error, const void *data, size_t size)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + size, .error = -error, .unique = request->in->unique};
	struct iovec parts[] = {{&out, sizeof(out)}, {(void *)data, size}};
	/* ENOENT (the caller was interrupted) is the only failure, and needs nothing. */
	(void)!writev(device, parts, size ? 2 : 1);
}

void fill_attr(const struct node *node, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = node->ino, .size = node->size, .blocks = (node->size + 511) / 512,
		.atime = node->atime.tv_sec, .atimensec = node->atime.tv_nsec,
		.mtime = node->mtime.tv_sec, .mtimensec = node->mtime.tv_nsec,
		.ctime = node->ctime.tv_sec, .ctimensec = node->ctime.tv_nsec,
		.mode = node->mode, .nlink = node->nlink, .uid = node->uid, .gid = node->gid,
		.rdev = node->rdev, .blksize = 4096};
}

/* Fills an entry and counts the lookup that it gives to the kernel. */
void fill_entry(struct node *node, struct fuse_entry_out *out)
{
	uint64_t valid = caching ? LONG_TIME : 0;
	*out = (struct fuse_entry_out){
		.nodeid = nodeid_of(node), .entry_valid = valid, .attr_valid = valid};
	fill_attr(node, &out->attr);
	node->lookups++;
}

void reply_entry(const struct request *request, struct node *node)
{
	struct fuse_entry_out out;
	fill_entry(node, &out);
	reply(request, 0, &out, sizeof(out));
}

void fill_open(struct fuse_open_out *out)
{
	*out = (struct fuse_open_out){
		.open_flags = caching ? FOPEN_KEEP_CACHE | FOPEN_NOFLUSH
				      : FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH};
}
