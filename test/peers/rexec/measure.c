/* Measures programs: from their start to their end, and what goes through their pipes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { BLOCK = 1 << 17 };
static char block[BLOCK];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* Starts a command with these as input and output. */
static pid_t start(char **command, int in, int out) {
  posix_spawn_file_actions_t actions;
  pid_t pid;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0) fail(command[0]);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

static void finish(pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid || status != 0) {
    fprintf(stderr, "measure: ended with %#x\n", status);
    exit(1);
  }
}

/* A line for each run: µs from its start to its end. */
static void runs(int count, char **command) {
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < count; i++) {
    double began = now_us();
    finish(start(command, nothing, nothing));
    printf("%.1f\n", now_us() - began);
  }
}

static void put(int fd, long long bytes) {
  while (bytes > 0) {
    ssize_t n = write(fd, block, bytes < BLOCK ? bytes : BLOCK);
    if (n <= 0) fail("write");
    bytes -= n;
  }
}

static long long take(int fd) {
  long long bytes = 0;
  for (ssize_t n; (n = read(fd, block, BLOCK)) != 0; bytes += n)
    if (n < 0) fail("read");
  return bytes;
}

/* MB/s of what a command writes, or is given, from the first block to its end. */
static void through(int is_out, long long bytes, char **command) {
  int ends[2], nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (pipe2(ends, O_CLOEXEC) < 0) fail("pipe2");
  pid_t pid = is_out ? start(command, nothing, ends[1]) : start(command, ends[0], nothing);
  close(is_out ? ends[1] : ends[0]);
  if (is_out && read(ends[0], block, 1) != 1) fail("read");
  if (!is_out) put(ends[1], 1);
  double began = now_us();
  if (is_out && take(ends[0]) != bytes - 1) fail("bytes");
  if (!is_out) put(ends[1], bytes - 1);
  if (!is_out) close(ends[1]);
  finish(pid);
  printf("%.1f\n", bytes / (now_us() - began));
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "runs")) runs(atoi(argv[2]), argv + 3);
  else if (!strcmp(what, "from")) through(1, atoll(argv[2]), argv + 3);
  else if (!strcmp(what, "to")) through(0, atoll(argv[2]), argv + 3);
  else if (!strcmp(what, "source")) put(1, atoll(argv[2]));
  else if (!strcmp(what, "sink")) take(0);
  else return 2;
  return 0;
}
