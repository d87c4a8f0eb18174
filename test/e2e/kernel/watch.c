/*
 * Waits for what a file of the kernel's tells by poll(2) and its like. Used as
 *
 *   watch HOW FILE [TRIGGER]
 *
 * HOW is poll, select, epoll or edge. TRIGGER is written to FILE first, which is then
 * not read (PSI); otherwise FILE is read first. Prints `waiting`, then a line for each
 * time that it is woken: the events, and the bytes the file has then, newlines as blanks.
 * Ends with its standard input, and after a minute.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static int fd, epoll_fd;
static const char *how;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* What wakes the caller, of POLLPRI, POLLERR and, with edge, POLLIN. */
static unsigned wait_for(void) {
  if (strcmp(how, "poll") == 0) {
    struct pollfd set[] = {{.fd = fd, .events = POLLPRI}, {.fd = 0, .events = POLLIN}};
    if (poll(set, 2, -1) < 0) fail("poll");
    if (set[1].revents != 0) exit(0);
    return set[0].revents;
  }
  if (strcmp(how, "select") == 0) {
    fd_set exceptional, readable;
    FD_ZERO(&exceptional);
    FD_ZERO(&readable);
    FD_SET(fd, &exceptional);
    FD_SET(0, &readable);
    if (select(fd + 1, &readable, NULL, &exceptional, NULL) < 0) fail("select");
    if (FD_ISSET(0, &readable)) exit(0);
    return POLLPRI;
  }
  struct epoll_event event;
  if (epoll_wait(epoll_fd, &event, 1, -1) < 0) fail("epoll_wait");
  if (event.data.fd == 0) exit(0);
  return event.events;
}

static void show(unsigned events, int reads) {
  char bytes[4096];
  ssize_t got = reads ? pread(fd, bytes, sizeof bytes, 0) : 0;
  if (got < 0) got = snprintf(bytes, sizeof bytes, "errno");
  for (ssize_t i = 0; i < got; i++) {
    if (bytes[i] == '\n') bytes[i] = ' ';
  }
  printf("woken%s%s%s: %.*s\n", events & POLLIN ? " IN" : "", events & POLLPRI ? " PRI" : "",
         events & POLLERR ? " ERR" : "", (int)got, bytes);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  how = argv[1];
  const char *trigger = argv[3];
  fd = open(argv[2], trigger != NULL ? O_RDWR | O_NONBLOCK : O_RDONLY);
  if (fd < 0) fail("open");
  if (trigger != NULL && write(fd, trigger, strlen(trigger) + 1) < 0) fail("write");
  char bytes[65536];
  while (trigger == NULL && read(fd, bytes, sizeof bytes) > 0);
  if (how[0] == 'e') {
    epoll_fd = epoll_create1(0);
    int edge = strcmp(how, "edge") == 0;
    struct epoll_event event = {.events = edge ? EPOLLIN | EPOLLPRI | EPOLLET : EPOLLPRI,
                                .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    struct epoll_event end = {.events = EPOLLIN, .data.fd = 0};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &end) < 0) fail("epoll_ctl");
    // The first edge of what is readable anyhow.
    if (edge && epoll_wait(epoll_fd, &event, 1, 10000) != 1) fail("no first edge");
  }
  printf("waiting\n");
  fflush(stdout);
  for (;;) show(wait_for(), trigger == NULL && strlen(argv[2]) > 0);
}
