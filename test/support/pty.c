/*
 * Terminals, for terminals.test.ts.
 *
 *   pty relay PTMX        opens a pair, prints the slave's number; then stdin goes to the
 *                         master, and from there to stdout, until stdin ends
 *   pty poll PATH         waits by poll(2) without O_NONBLOCK; prints what it found and read
 *   pty settings PATH     prints isatty(3), and turns ECHO off by TCGETS2 and TCSETS2
 *   pty both PATH TEXT    reads in one thread while another writes TEXT, by one descriptor
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char buffer[65536];

static int fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

static int settings(int fd, int clear) {
  struct termios2 t;
  if (ioctl(fd, TCGETS2, &t) != 0) return fail("TCGETS2");
  t.c_lflag &= ~clear;
  if (ioctl(fd, TCSETS2, &t) != 0) return fail("TCSETS2");
  return 0;
}

static int relay(const char *path) {
  int unlocked = 0, number = -1;
  int master = open(path, O_RDWR | O_NOCTTY);
  if (master < 0) return fail("open");
  if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) return fail("TIOCSPTLCK");
  if (ioctl(master, TIOCGPTN, &number) != 0) return fail("TIOCGPTN");
  if (settings(master, ECHO | ICANON) != 0) return 1;
  printf("%d\n", number);
  fflush(stdout);
  struct pollfd fds[] = {{0, POLLIN, 0}, {master, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) return fail("poll");
    if (fds[0].revents != 0) {
      ssize_t n = read(0, buffer, sizeof buffer);
      if (n <= 0) return 0;
      if (write(master, buffer, n) != n) return fail("write");
    }
    if (fds[1].revents & POLLIN) {
      ssize_t n = read(master, buffer, sizeof buffer);
      if (n > 0 && write(1, buffer, n) != n) return 1;
    } else if (fds[1].revents != 0) {
      fds[1].fd = -1; /* no slave is open any more */
    }
  }
}

static int wait_by_poll(const char *path) {
  int fd = open(path, O_RDWR | O_NOCTTY);
  if (fd < 0) return fail("open");
  struct pollfd one = {fd, POLLIN, 0};
  if (poll(&one, 1, 0) != 0) return fail("ready at once");
  printf("waits\n");
  fflush(stdout);
  if (poll(&one, 1, 60000) != 1) return fail("poll");
  ssize_t n = read(fd, buffer, sizeof buffer);
  printf("%s%s %.*s\n", one.revents & POLLIN ? "in" : "", one.revents & POLLHUP ? " hup" : "",
         n < 0 ? 5 : (int)n, n < 0 ? "error" : buffer);
  return 0;
}

static void *read_one(void *fd) {
  ssize_t n = read(*(int *)fd, buffer, sizeof buffer);
  printf("read %.*s\n", n < 0 ? 5 : (int)n, n < 0 ? "error" : buffer);
  return NULL;
}

static int both(const char *path, const char *text) {
  int fd = open(path, O_RDWR | O_NOCTTY);
  if (fd < 0) return fail("open");
  pthread_t thread;
  pthread_create(&thread, NULL, read_one, &fd);
  if (write(fd, text, strlen(text)) < 0) return fail("write");
  pthread_join(thread, NULL);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "";
  if (strcmp(what, "relay") == 0) return relay(argv[2]);
  if (strcmp(what, "poll") == 0) return wait_by_poll(argv[2]);
  if (strcmp(what, "both") == 0 && argc > 3) return both(argv[2], argv[3]);
  if (strcmp(what, "settings") != 0) return 2;
  int fd = open(argv[2], O_RDWR | O_NOCTTY);
  if (fd < 0) return fail("open");
  printf("isatty %d\n", isatty(fd));
  return settings(fd, ECHO);
}
