/* Operations on nodes: attributes, contents, the handshake. */
#include "nullfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_IO (1u << 20)

void do_init(struct request *request)
{
	const struct fuse_init_in *in = request->body;
	uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
			  FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS |
			  FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_CACHE_SYMLINKS;
	if (writeback)
		wanted |= FUSE_WRITEBACK_CACHE;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = MAX_IO, .flags = in->flags & wanted, .max_background = 64,
		.congestion_threshold = 48, .max_write = MAX_IO, .time_gran = 1,
		.max_pages = MAX_IO / 4096};
	reply(request, 0, &out, sizeof(out));
}

static void reply_attr(struct request *request)
{
	struct fuse_attr_out out = {.attr_valid = caching ? 86400 : 0};
	fill_attr(request->node, &out.attr);
	reply(request, 0, &out, sizeof(out));
}

void do_getattr(struct request *request)
{
	reply_attr(request);
}

void do_setattr(struct request *request)
{
	const struct fuse_setattr_in *in = request->body;
	struct node *node = request->node;
	if (in->valid & FATTR_SIZE) {
		int error = node_resize(node, in->size);
		if (error) {
			reply(request, error, NULL, 0);
			return;
		}
		node->mtime = now();
	}
	if (in->valid & FATTR_MODE)
		node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
	if (in->valid & FATTR_UID)
		node->uid = in->uid;
	if (in->valid & FATTR_GID)
		node->gid = in->gid;
	if (in->valid & FATTR_ATIME)
		node->atime = (struct timespec){in->atime, in->atimensec};
	if (in->valid & FATTR_MTIME)
		node->mtime = (struct timespec){in->mtime, in->mtimensec};
	if (in->valid & FATTR_ATIME_NOW)
		node->atime = now();
	if (in->valid & FATTR_MTIME_NOW)
		node->mtime = now();
	node->ctime = in->valid & FATTR_CTIME ? (struct timespec){in->ctime, in->ctimensec} : now();
	reply_attr(request);
}

void do_readlink(struct request *request)
{
	reply(request, 0, request->node->data, request->node->size);
}

void do_open(struct request *request)
{
	const struct fuse_open_in *in = request->body;
	struct fuse_open_out out;
	if (in->flags & O_TRUNC)
		node_resize(request->node, 0);
	fill_open(&out);
	reply(request, 0, &out, sizeof(out));
}

void do_opendir(struct request *request)
{
	struct fuse_open_out out = {0};
	reply(request, 0, &out, sizeof(out));
}

void do_read(struct request *request)
{
	const struct fuse_read_in *in = request->body;
	const struct node *node = request->node;
	uint64_t left = in->offset < node->size ? node->size - in->offset : 0;
	reply(request, 0, node->data + in->offset, left < in->size ? left : in->size);
}

void do_write(struct request *request)
{
	const struct fuse_write_in *in = request->body;
	struct node *node = request->node;
	struct fuse_write_out out = {.size = in->size};
	uint64_t end = in->offset + in->size;
	int error = end > node->size ? node_resize(node, end) : 0;
	if (!error) {
		memcpy(node->data + in->offset, in + 1, in->size);
		if (!writeback) /* with it the kernel keeps the times itself */
			node->mtime = node->ctime = now();
	}
	reply(request, error, error ? NULL : &out, error ? 0 : sizeof(out));
}

void do_statfs(struct request *request)
{
	struct fuse_statfs_out out = {.st = {.blocks = 1 << 20, .bfree = 1 << 19, .bavail = 1 << 19,
					     .bsize = 4096, .frsize = 4096, .namelen = 255}};
	reply(request, 0, &out, sizeof(out));
}

/* Nothing to do, but the kernel waits for the answer. */
void do_done(struct request *request)
{
	reply(request, 0, NULL, 0);
}
