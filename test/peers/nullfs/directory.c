/* Listing of directories. */
#include "nullfs.h"

#include <string.h>

/* Offset n+1 follows slot n; the kernel adds no "." and "..", nor is it asked to. */
static void list(struct request *request, int plus)
{
	static char page[1 << 20] __attribute__((aligned(8)));
	const struct fuse_read_in *in = request->body;
	size_t limit = in->size < sizeof(page) ? in->size : sizeof(page), used = 0;
	for (uint64_t slot = in->offset; slot < request->node->slot_count; slot++) {
		struct dentry *dentry = request->node->slots[slot];
		if (!dentry)
			continue;
		size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
		size_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dentry->length);
		if (used + size > limit)
			break;
		if (plus)
			fill_entry(dentry->node, (struct fuse_entry_out *)(page + used));
		struct fuse_dirent *entry = (struct fuse_dirent *)(page + used + head);
		*entry = (struct fuse_dirent){.ino = dentry->node->ino, .off = slot + 1,
					      .namelen = dentry->length, .type = dentry->node->mode >> 12};
		memcpy(entry->name, dentry->name, dentry->length);
		used += size;
	}
	reply(request, 0, page, used);
}

void do_readdir(struct request *request)
{
	list(request, 0);
}

void do_readdirplus(struct request *request)
{
	list(request, 1);
}
