/*
 * One process of a FIFO scenario: does what it is told on its standard input, one line at a
 * time, and says what came of it.
 *
 *   o FLAGS   open(2) with the flags (decimal); p: through an O_PATH descriptor of it
 *   w N       write(2) of N bytes that continue the pattern; answers N or an errno
 *   r N       read(2) until N bytes, the end, or an errno; answers how many and their sum
 *   l         poll(2): the events
 *   c         close(2)
 *   q FROM    begins the pattern at byte FROM
 *   n PATH    another FIFO
 *
 * SIGUSR1 does nothing but interrupt a call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char data[1 << 16];
static unsigned next;

static void nothing(int sig) { (void)sig; }

static void answer(const char *text) {
  size_t length = strlen(text);
  if (write(1, text, length) != (ssize_t)length) exit(1);
}

static void result(long value) {
  char text[64];
  if (value < 0) snprintf(text, sizeof text, "E%d\n", errno);
  else snprintf(text, sizeof text, "%ld\n", value);
  answer(text);
}

static int by_path(const char *path, int flags) {
  char name[64];
  int at = open(path, O_PATH);
  if (at < 0) return -1;
  snprintf(name, sizeof name, "/proc/self/fd/%d", at);
  int fd = open(name, flags);
  int error = errno;
  close(at);
  errno = error;
  return fd;
}

static long sum;

static long read_all(int fd, int n) {
  int got = 0;
  sum = 0;
  while (got < n) {
    int one = read(fd, data, n - got);
    if (one == 0) break;
    if (one < 0) {
      if (got == 0) return -1;
      if (errno != EAGAIN) return -1;
      struct pollfd wait = {fd, POLLIN, 0};
      poll(&wait, 1, -1);
      continue;
    }
    for (int i = 0; i < one; i++) sum = sum * 31 + (unsigned char)data[i], sum &= 0xffffff;
    got += one;
  }
  return got;
}

int main(void) {
  struct sigaction interrupt = {.sa_handler = nothing};
  sigaction(SIGUSR1, &interrupt, NULL);
  signal(SIGPIPE, SIG_IGN);
  int fd = -1;
  char line[4096], path[4096] = "";
  size_t length = 0;
  for (;;) {
    char one;
    ssize_t got = read(0, &one, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    if (one != '\n') {
      if (length < sizeof line - 1) line[length++] = one;
      continue;
    }
    line[length] = 0;
    length = 0;
    int n = atoi(line + 1);
    switch (line[0]) {
    case 'o':
    case 'p':
      fd = line[0] == 'o' ? open(path, n) : by_path(path, n);
      result(fd < 0 ? -1 : 0);
      break;
    case 'w':
      for (int i = 0; i < n; i++) data[i] = (next + i) * 7 + (next + i) / 251;
      long wrote = write(fd, data, n);
      if (wrote > 0) next += wrote;
      result(wrote);
      break;
    case 'r': {
      long all = read_all(fd, n);
      if (all < 0) result(-1);
      else {
        char text[64];
        snprintf(text, sizeof text, "%ld:%lx\n", all, sum);
        answer(text);
      }
      break;
    }
    case 'l': {
      struct pollfd now = {fd, POLLIN | POLLOUT, 0};
      poll(&now, 1, 0);
      result(now.revents);
      break;
    }
    case 'c':
      result(close(fd));
      fd = -1;
      break;
    case 'n':
      strcpy(path, line + 1);
      answer("0\n");
      break;
    case 'q':
      next = n;
      answer("0\n");
    }
  }
}
