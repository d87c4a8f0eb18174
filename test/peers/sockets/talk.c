/*
 * The two halves of each row of `scripts/bench sockets`. Figures go to stdout, one line.
 *
 *   talk echo PATH            listens; returns what it gets, a thread for each connection
 *   talk source PATH BYTES    listens; sends each who connects so much
 *   talk ping PATH COUNT      round trips of 64 bytes: p50 and p99, in ns
 *   talk connect PATH COUNT   connect(2) alone, and until the first byte is back: p50s, in ns
 *   talk hoard PATH COUNT     so many connections that are not read, until stdin ends
 *   talk drain PATH           connects and reads to the end: MB/s
 *   talk fill FIFO BYTES      writes so much to a FIFO
 *   talk empty FIFO           reads a FIFO to its end: MB/s from the first byte on
 *   talk stat FILE COUNT      statx(2) that may not be answered from a cache: p50, in ns
 *   talk write FILE BYTES     writes a file: MB/s
 *   talk read FILE            reads it, out of no cache of this machine's: MB/s
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (128 << 10)
#define MESSAGE 64
#define WARM 200

static long long total;

static void die(const char *what) {
  fprintf(stderr, "talk: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct sockaddr_un address(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof name.sun_path) {
    errno = ENAMETOOLONG;
    die(path);
  }
  strcpy(name.sun_path, path);
  return name;
}

static int dial(const char *path) {
  struct sockaddr_un name = address(path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0) die(path);
  return fd;
}

static void *echo(void *argument) {
  int fd = (int)(intptr_t)argument;
  char buffer[4096];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0)
    if (write(fd, buffer, n) != n) break;
  close(fd);
  return NULL;
}

static void *source(void *argument) {
  int fd = (int)(intptr_t)argument;
  static char block[BLOCK];
  for (long long left = total; left > 0;) {
    ssize_t n = write(fd, block, left < BLOCK ? left : BLOCK);
    if (n <= 0) break;
    left -= n;
  }
  close(fd);
  return NULL;
}

static int serve(const char *path, void *(*each)(void *)) {
  struct sockaddr_un name = address(path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&name, sizeof name) != 0 || listen(listener, 4096) != 0)
    die(path);
  puts("ready");
  fflush(stdout);
  for (;;) {
    pthread_t thread;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept");
    if (pthread_create(&thread, NULL, each, (void *)(intptr_t)fd) != 0) die("thread");
    pthread_detach(thread);
  }
}

static int ascending(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int64_t quantile(int64_t *values, int count, double which) {
  qsort(values, count, sizeof *values, ascending);
  return values[(int)(which * (count - 1))];
}

static void exchange(int fd, int size) {
  char message[MESSAGE] = {0};
  if (write(fd, message, size) != size) die("write");
  for (int got = 0; got < size;) {
    ssize_t n = read(fd, message, size - got);
    if (n <= 0) die("read");
    got += n;
  }
}

static int ping(const char *path, int count) {
  int64_t *took = calloc(count, sizeof *took);
  int fd = dial(path);
  for (int i = -WARM; i < count; i++) {
    int64_t start = now();
    exchange(fd, MESSAGE);
    if (i >= 0) took[i] = now() - start;
  }
  int64_t half = quantile(took, count, 0.5);
  printf("%lld %lld\n", (long long)half, (long long)quantile(took, count, 0.99));
  return 0;
}

static int connects(const char *path, int count) {
  int64_t *alone = calloc(count, sizeof *alone), *whole = calloc(count, sizeof *whole);
  for (int i = -10; i < count; i++) {
    int64_t start = now();
    int fd = dial(path);
    int64_t connected = now();
    exchange(fd, 1);
    if (i >= 0) {
      alone[i] = connected - start;
      whole[i] = now() - start;
    }
    close(fd);
  }
  int64_t half = quantile(alone, count, 0.5);
  printf("%lld %lld\n", (long long)half, (long long)quantile(whole, count, 0.5));
  return 0;
}

static int hoard(const char *path, int count) {
  char byte;
  for (int i = 0; i < count; i++)
    if (read(dial(path), &byte, 1) != 1) die("read");
  puts("ready");
  fflush(stdout);
  return read(0, &byte, 1) < 0;
}

/* Reads to the end; MB/s from the first byte on. */
static int drain(int fd) {
  static char block[BLOCK];
  int64_t start = 0;
  long long bytes = 0;
  ssize_t n;
  while ((n = read(fd, block, BLOCK)) > 0) {
    if (bytes == 0) start = now();
    bytes += n;
  }
  if (n < 0) die("read");
  printf("%.1f %lld\n", bytes * 1e3 / (now() - start), bytes);
  return 0;
}

static int fill(const char *path, int flags) {
  static char block[BLOCK];
  int fd = open(path, flags, 0644);
  if (fd < 0) die(path);
  int64_t start = now();
  for (long long left = total; left > 0;) {
    ssize_t n = write(fd, block, left < BLOCK ? left : BLOCK);
    if (n <= 0) die("write");
    left -= n;
  }
  if (close(fd) != 0) die("close");
  printf("%.1f\n", total * 1e3 / (now() - start));
  return 0;
}

static int read_file(const char *path, int fd) {
  if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) die(path);
  return drain(fd);
}

static int stats(const char *path, int count) {
  int64_t *took = calloc(count, sizeof *took);
  struct statx status;
  int fd = open(path, O_RDONLY);
  if (fd < 0) die(path);
  for (int i = -WARM; i < count; i++) {
    int64_t start = now();
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &status) != 0)
      die("statx");
    if (i >= 0) took[i] = now() - start;
  }
  printf("%lld\n", (long long)quantile(took, count, 0.5));
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
  total = argc > 3 ? atoll(argv[3]) : 0;
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(what, "echo") == 0) return serve(path, echo);
  if (strcmp(what, "source") == 0) return serve(path, source);
  if (strcmp(what, "ping") == 0) return ping(path, total);
  if (strcmp(what, "connect") == 0) return connects(path, total);
  if (strcmp(what, "hoard") == 0) return hoard(path, total);
  if (strcmp(what, "drain") == 0) return drain(dial(path));
  if (strcmp(what, "fill") == 0) return fill(path, O_WRONLY);
  if (strcmp(what, "empty") == 0) return drain(open(path, O_RDONLY));
  if (strcmp(what, "stat") == 0) return stats(path, total);
  if (strcmp(what, "write") == 0) return fill(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (strcmp(what, "read") == 0) return read_file(path, open(path, O_RDONLY));
  return 2;
}
