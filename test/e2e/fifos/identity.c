/*
 * Threads that open FIFOs of their own through O_PATH and /proc/self/fd, as containerd does: all
 * that is said of one must be of one inode. Usage: identity DIRECTORY THREADS ROUNDS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX 64
#define FIFOS 8

static const char *directory;
static int rounds;
static int wrong;

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void *run(void *arg) {
  long id = (long)arg;
  for (int i = 0; i < rounds; i++) {
    char path[4096], link[64];
    struct stat held, followed, opened;
    snprintf(path, sizeof path, "%s/%ld.%d", directory, id, i % FIFOS);
    if (i < FIFOS && mkfifo(path, 0600) < 0) fail("mkfifo");
    int at = open(path, O_PATH);
    if (at < 0) fail("O_PATH");
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    int fd = open(link, (i % 3 == 0 ? O_RDWR : O_RDONLY) | O_NONBLOCK);
    if (fd < 0) fail("open");
    if (fstat(at, &held) < 0 || stat(link, &followed) < 0 || fstat(fd, &opened) < 0) fail("stat");
    if (held.st_ino != followed.st_ino || held.st_ino != opened.st_ino)
      __sync_fetch_and_add(&wrong, 1);
    close(fd);
    close(at);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  directory = argv[1];
  rounds = atoi(argv[3]);
  pthread_t threads[THREADS_MAX];
  int count = atoi(argv[2]);
  if (count > THREADS_MAX) return 2;
  for (long i = 0; i < count; i++) pthread_create(&threads[i], NULL, run, (void *)i);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("%d of another\n", wrong);
  return 0;
}
