/*
 * Reads a file of the kernel's in every way there is, and prints what each call gave:
 *
 *   pieces FILE
 *
 * Results that depend on a machine's speed are not printed: two runs on a file that does
 * not change print the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX = 1 << 20, SMALL_MAX = 1 << 16 };

static const char *path;
static char whole[MAX], bytes[MAX];
static size_t length;

static void say(const char *what, long result) {
  printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "");
  if (result >= 0) printf("  %ld\n", result);
}

static unsigned sum(const char *from, size_t count) {
  unsigned result = 2166136261u;
  for (size_t i = 0; i < count; i++) result = (result ^ (unsigned char)from[i]) * 16777619u;
  return result;
}

static int must_open(int flags) {
  int fd = open(path, O_RDONLY | flags);
  if (fd < 0) {
    perror("open");
    exit(1);
  }
  return fd;
}

/* Reads of `size` bytes each: what each of the first gave, how many there were, and what came. */
static void read_by(size_t size) {
  int fd = must_open(0);
  size_t at = 0, calls = 0;
  ssize_t got = 0;
  printf("by %zu:", size);
  while (at + size <= MAX && (got = read(fd, bytes + at, size)) > 0) {
    if (calls++ < 20) printf(" %zd", got);
    at += got;
  }
  printf(", %zu calls, %zu bytes, sum %x%s\n", calls, at, sum(bytes, at),
         at == length && memcmp(bytes, whole, at) == 0 ? "" : ", not the same as before");
  close(fd);
}

static void read_at(long offset, size_t size) {
  int fd = must_open(0);
  ssize_t got = pread(fd, bytes, size, offset);
  char what[64];
  snprintf(what, sizeof what, "pread %zu at %ld: sum %x", size, offset, got > 0 ? sum(bytes, got) : 0);
  say(what, got);
  // Backwards, and on from there.
  if (offset > 0) {
    say("lseek", lseek(fd, offset / 2, SEEK_SET));
    got = read(fd, bytes, size);
    snprintf(what, sizeof what, "read: sum %x", got > 0 ? sum(bytes, got) : 0);
    say(what, got);
    say("where", lseek(fd, 0, SEEK_CUR));
  }
  close(fd);
}

static void copy_out(void) {
  int pipe_fds[2], fd = must_open(0);
  if (pipe(pipe_fds) != 0) exit(1);
  ssize_t sent = sendfile(pipe_fds[1], fd, NULL, 4096);
  say("sendfile", sent);
  if (sent > 0 && read(pipe_fds[0], bytes, sent) == sent) printf("  sum %x\n", sum(bytes, sent));
  close(fd);
  fd = must_open(0);
  sent = splice(fd, NULL, pipe_fds[1], NULL, 4096, 0);
  say("splice", sent);
  if (sent > 0 && read(pipe_fds[0], bytes, sent) == sent) printf("  sum %x\n", sum(bytes, sent));
  close(fd);
}

static void scatter(void) {
  int fd = must_open(0);
  struct iovec parts[] = {{bytes, 7}, {bytes + 7, 100}, {bytes + 107, 4096}};
  ssize_t got = readv(fd, parts, 3);
  // The HOST may make a read of each part, where FUSE makes one of all.
  if (got > 100) got = 100;
  say("readv", got);
  if (got > 0) printf("  sum %x\n", sum(bytes, got));
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  path = argv[1];
  int fd = must_open(0);
  ssize_t got = 0;
  while (length < MAX && (got = read(fd, whole + length, MAX - length)) > 0) length += got;
  say("the end", got);
  say("after the end", read(fd, bytes, 100));
  say("nothing", read(fd, bytes, 0));
  struct stat status;
  say("fstat", fstat(fd, &status));
  printf("  size %ld, mode %o, links %ld\n", (long)status.st_size, status.st_mode, (long)status.st_nlink);
  say("write", write(fd, "x", 1));
  close(fd);
  static const size_t sizes[] = {1, 3, 64, 1000, 4095, 4096, 4097, 65536, 131072};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    if (sizes[i] >= 64 || length <= SMALL_MAX) read_by(sizes[i]);
  }
  static const long offsets[] = {0, 1, 100, 4096, 5000, 1000000};
  for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) read_at(offsets[i], 300);
  // Beyond the size that stat(2) tells, splice(2) gives nothing on FUSE: README.md, Limits.
  if (status.st_size > 0) copy_out();
  scatter();
  return 0;
}
