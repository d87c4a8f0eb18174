/* Who serves a socket or FIFO, and who calls there and says what is wrong with what comes back:
 *   echo PATH TYPE             serves until it is killed; TYPE is stream, packet, datagram or pass
 *   call PATH TYPE SEED BYTES [OWN]   OWN: the caller's own path, for datagrams
 *   write PATH SEED BYTES, read PATH SEED BYTES   the ends of a FIFO
 * What is sent is a pattern of SEED in pieces of SEED, with pauses in between. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE_MAX = 8192, WINDOW = 96 * 1024, PAUSE_US = 30000, ANSWERS_MAX = 1000 };
static unsigned char out[PIECE_MAX], in[PIECE_MAX + 1];

static void die(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

/* xorshift: pieces of both directions are told by two of them, from one seed. */
static uint32_t next(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  return *state ^= *state << 5;
}

static unsigned char byte_at(uint32_t seed, size_t n) { return (unsigned char)(n * 31 + (n >> 8) * 7 + (n >> 16) + seed * 13); }

static void fill(uint32_t seed, size_t from, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = byte_at(seed, from + i);
}

static void check(uint32_t seed, size_t from, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (in[i] == byte_at(seed, from + i)) continue;
    printf("another byte at %zu\n", from + i);
    exit(1);
  }
}

static struct sockaddr_un address(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof to.sun_path) exit(2);
  strcpy(to.sun_path, path);
  return to;
}

static int type_of(const char *name) {
  if (strcmp(name, "packet") == 0) return SOCK_SEQPACKET;
  return strcmp(name, "datagram") == 0 ? SOCK_DGRAM : SOCK_STREAM;
}

/* Gives back what comes, until it ends. */
static void give_back(int fd) {
  ssize_t n;
  while ((n = recv(fd, in, sizeof in, 0)) > 0) {
    for (ssize_t sent = 0; sent < n;) {
      ssize_t more = send(fd, in + sent, (size_t)(n - sent), MSG_NOSIGNAL);
      if (more < 0) _exit(1);
      sent += more;
    }
  }
  _exit(0);
}

static int passed(int fd) {
  char byte, room[CMSG_SPACE(sizeof(int))];
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  if (recvmsg(fd, &m, 0) != 1 || CMSG_FIRSTHDR(&m) == NULL) _exit(1);
  int got;
  memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
  return got;
}

/* A socket whose other end was passed over `fd`, which is needed no more. */
static int pass(int fd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) die("socketpair");
  char byte = 'x', room[CMSG_SPACE(sizeof(int))];
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &ends[1], sizeof(int));
  if (sendmsg(fd, &m, 0) != 1) die("sendmsg");
  close(ends[1]);
  return ends[0];
}

/* To whom there is no way for a while (the server is away, and so is the way to a new name) goes on waiting. */
static void answer(int fd, size_t n, struct sockaddr_un *to, socklen_t length) {
  for (int i = 0; sendto(fd, in, n, 0, (struct sockaddr *)to, length) < 0; i++) {
    if ((errno != ECONNREFUSED && errno != EAGAIN) || i == ANSWERS_MAX) return;
    usleep(PAUSE_US);
  }
}

static void echo(const char *path, const char *kind) {
  int type = type_of(kind), fd = socket(AF_UNIX, type, 0);
  struct sockaddr_un at = address(path);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) die("bind");
  if (type != SOCK_DGRAM && listen(fd, 64) != 0) die("listen");
  signal(SIGCHLD, SIG_IGN);
  puts("up");
  fflush(stdout);
  while (type == SOCK_DGRAM) {
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &length);
    if (n >= 0) answer(fd, (size_t)n, &from, length);
  }
  for (int one; (one = accept(fd, NULL, NULL)) >= 0; close(one)) {
    if (fork() == 0) give_back(strcmp(kind, "pass") == 0 ? passed(one) : one);
  }
  die("accept");
}

static int dial(const char *path, const char *kind, const char *own) {
  int fd = socket(AF_UNIX, type_of(kind), 0);
  struct sockaddr_un to = address(path), from = address(own);
  if (*own != 0 && bind(fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
  return strcmp(kind, "pass") == 0 ? pass(fd) : fd;
}

static void call(int fd, const char *kind, uint32_t seed, size_t bytes) {
  bool is_bytes = type_of(kind) == SOCK_STREAM;
  /* Answers that the queue of a socket for datagrams has no room for are lost. */
  size_t window = type_of(kind) == SOCK_DGRAM ? 1 : WINDOW;
  uint32_t sending = seed * 2654435761u + 1, hearing = sending, pauses = seed + 7;
  size_t sent = 0, heard = 0;
  while (heard < bytes) {
    bool sends = sent < bytes && sent - heard < window;
    struct pollfd p = {fd, POLLIN | (sends ? POLLOUT : 0), 0};
    if (poll(&p, 1, -1) < 0) die("poll");
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
      if (n == 0) errno = 0;
      if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
      if (n > 0) {
        check(seed, heard, (size_t)n);
        if (!is_bytes && (size_t)n != 1 + next(&hearing) % PIECE_MAX) die("another length");
        heard += (size_t)n;
      }
    }
    if (!(p.revents & POLLOUT)) continue;
    uint32_t before = sending;
    size_t n = 1 + next(&sending) % PIECE_MAX;
    fill(seed, sent, n);
    ssize_t did = send(fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (did < 0 && errno != EAGAIN && errno != ENOBUFS) die("send");
    if (did < 0) sending = before;
    else sent += (size_t)did;
    if (next(&pauses) % 4 == 0) usleep(next(&pauses) % PAUSE_US);
  }
}

static void write_all(const char *path, uint32_t seed, size_t bytes) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) die("open");
  uint32_t pauses = seed + 7;
  for (size_t sent = 0; sent < bytes;) {
    size_t n = 1 + next(&pauses) % PIECE_MAX;
    if (n > bytes - sent) n = bytes - sent;
    fill(seed, sent, n);
    ssize_t did = write(fd, out, n);
    if (did < 0) die("write");
    sent += (size_t)did;
    if (next(&pauses) % 4 == 0) usleep(next(&pauses) % PAUSE_US);
  }
}

static void read_all(const char *path, uint32_t seed, size_t bytes) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) die("open");
  size_t heard = 0;
  ssize_t n;
  while ((n = read(fd, in, PIECE_MAX)) > 0) {
    check(seed, heard, (size_t)n);
    heard += (size_t)n;
  }
  if (n < 0) die("read");
  if (heard == bytes) return;
  printf("%zu of %zu bytes\n", heard, bytes);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *what = argv[1], *path = argv[2], *third = argv[3];
  if (strcmp(what, "echo") == 0) echo(path, third);
  if (argc < 5) return 2;
  if (strcmp(what, "call") == 0) {
    int fd = dial(path, third, argc > 6 ? argv[6] : "");
    call(fd, third, (uint32_t)atoi(argv[4]), (size_t)atol(argv[5]));
  } else if (strcmp(what, "write") == 0) write_all(path, (uint32_t)atoi(third), (size_t)atol(argv[4]));
  else read_all(path, (uint32_t)atoi(third), (size_t)atol(argv[4]));
  puts("whole");
}
