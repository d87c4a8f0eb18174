/*
 * nullfs [-u] [-w] [-s MICROSECONDS] MOUNTPOINT
 *   -u  uncached: zero timeouts, direct_io (otherwise: long timeouts, page cache)
 *   -w  writeback: write(2) ends in the page cache (otherwise: with the daemon)
 *   -s  how long to look for the next request with sched_yield before poll(2);
 *       0 sleeps at once
 * Stays in the foreground until it is unmounted or ended by a signal.
 */
#include "nullfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#define BUFFER ((1u << 20) + 8192)

int caching = 1;
int writeback;
int device;

static void (*const operations[])(struct request *) = {
	[FUSE_LOOKUP] = do_lookup, [FUSE_FORGET] = do_forget, [FUSE_GETATTR] = do_getattr,
	[FUSE_SETATTR] = do_setattr, [FUSE_READLINK] = do_readlink, [FUSE_SYMLINK] = do_symlink,
	[FUSE_MKNOD] = do_mknod, [FUSE_MKDIR] = do_mkdir, [FUSE_UNLINK] = do_unlink,
	[FUSE_RMDIR] = do_rmdir, [FUSE_RENAME] = do_rename, [FUSE_LINK] = do_link,
	[FUSE_OPEN] = do_open, [FUSE_READ] = do_read, [FUSE_WRITE] = do_write,
	[FUSE_STATFS] = do_statfs, [FUSE_RELEASE] = do_done, [FUSE_FSYNC] = do_done,
	[FUSE_INIT] = do_init, [FUSE_OPENDIR] = do_opendir, [FUSE_READDIR] = do_readdir,
	[FUSE_RELEASEDIR] = do_done, [FUSE_FSYNCDIR] = do_done, [FUSE_CREATE] = do_create,
	[FUSE_DESTROY] = do_done, [FUSE_BATCH_FORGET] = do_batch_forget,
	[FUSE_READDIRPLUS] = do_readdirplus, [FUSE_RENAME2] = do_rename2,
};

static void serve(const void *buffer)
{
	const struct fuse_in_header *in = buffer;
	struct request request = {.in = in, .body = in + 1, .node = node_of(in->nodeid)};
	if (in->opcode == FUSE_INTERRUPT)
		return;
	if (in->opcode < sizeof(operations) / sizeof(*operations) && operations[in->opcode])
		operations[in->opcode](&request);
	else
		reply(&request, ENOSYS, NULL, 0);
}

static int64_t clock_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Serves until the file system is unmounted. */
static void loop(int64_t spin_ns)
{
	void *buffer = aligned_alloc(4096, BUFFER);
	int64_t deadline = 0;
	struct pollfd ready = {.fd = device, .events = POLLIN};
	while (buffer) {
		ssize_t size = read(device, buffer, BUFFER);
		if (size > 0) {
			serve(buffer);
			deadline = clock_ns() + spin_ns;
		} else if (errno == ENODEV) {
			return;
		} else if (errno == EAGAIN && clock_ns() < deadline) {
			sched_yield();
		} else if (errno == EAGAIN) {
			poll(&ready, 1, -1);
		}
	}
}

int main(int argc, char **argv)
{
	int option;
	int64_t spin_us = 50;
	char options[128];
	while ((option = getopt(argc, argv, "uws:")) != -1) {
		if (option == 'u')
			caching = 0;
		else if (option == 'w')
			writeback = 1;
		else if (option == 's')
			spin_us = atoi(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "Usage: nullfs [-u] [-w] [-s MICROSECONDS] MOUNTPOINT\n");
		return 2;
	}
	root.atime = root.mtime = root.ctime = now();
	device = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40755,user_id=0,group_id=0,default_permissions,allow_other", device);
	if (device < 0 || mount("nullfs", argv[optind], "fuse.nullfs", MS_NOSUID | MS_NODEV, options)) {
		perror("nullfs: cannot mount");
		return 1;
	}
	loop(spin_us * 1000);
	return 0;
}
