/*
 * Whether what is said over a socket after a FIFO was opened overtakes that the other end of
 * the FIFO is open, too.
 *
 *   order says SOCKET FIFO r|w ROUNDS   listens; in each round opens the FIFO, and says so at once
 *   order hears SOCKET FIFO r|w ROUNDS  in each round has a child wait in open(2) for the other;
 *                                       as soon as it hears, the child gets a signal: in one
 *                                       kernel its open has succeeded by then
 *
 * The second prints how many of the child's opens were interrupted. Round N has FIFO.N, for what
 * was closed on one machine is seen on the other a little later.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignored(int signal) { (void)signal; }

static int flags_of(const char *word) { return *word == 'r' ? O_RDONLY : O_WRONLY; }

static void get(int fd) {
  char byte;
  ssize_t got = read(fd, &byte, 1);
  if (got != 1) errx(1, "the other has ended (%zd)", got);
}

static void put(int fd) {
  if (write(fd, "x", 1) != 1) err(1, "write");
}

static int meet(const char *path, int listens) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (!listens) {
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "connect");
    return fd;
  }
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "bind");
  if (listen(fd, 1) < 0) err(1, "listen");
  puts("listens");
  fflush(stdout);
  fd = accept(fd, NULL, NULL);
  if (fd < 0) err(1, "accept");
  return fd;
}

static int open_nth(const char *fifo, int n, int flags) {
  char path[200];
  snprintf(path, sizeof path, "%s.%d", fifo, n);
  return open(path, flags);
}

static void says(int fd, const char *fifo, int flags, int rounds) {
  for (int i = 0; i < rounds; i++) {
    get(fd);
    usleep(i % 5 * 4000);
    int end = open_nth(fifo, i, flags);
    if (end < 0) err(1, "open");
    put(fd);
    get(fd);
    close(end);
    put(fd);
  }
}

static int waits(const char *fifo, int n, int flags, int begun) {
  put(begun);
  int end = open_nth(fifo, n, flags);
  if (end < 0 && errno != EINTR) err(2, "open");
  return end < 0;
}

static void hears(int fd, const char *fifo, int flags, int rounds) {
  int interrupted = 0;
  int begun[2];
  if (pipe(begun) < 0) err(1, "pipe");
  for (int i = 0; i < rounds; i++) {
    pid_t child = fork();
    if (child == 0) _exit(waits(fifo, i, flags, begun[1]));
    get(begun[0]);
    put(fd);
    get(fd);
    int status;
    kill(child, SIGUSR1);
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) errx(1, "the child has ended otherwise");
    interrupted += WEXITSTATUS(status);
    put(fd);
    get(fd);
  }
  printf("%d interrupted\n", interrupted);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  struct sigaction action = {.sa_handler = ignored};
  sigaction(SIGUSR1, &action, NULL);
  int listens = strcmp(argv[1], "says") == 0;
  int fd = meet(argv[2], listens);
  (listens ? says : hears)(fd, argv[3], flags_of(argv[4]), atoi(argv[5]));
  return 0;
}
