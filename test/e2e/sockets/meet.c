/*
 * Both ends of a unix socket, for tests.
 *
 *   meet serve PATH TYPE        binds and listens, says "up", echoes until the end of each
 *                               connection, then says "bye" to it and what it was
 *   meet bind PATH TYPE         binds, says "up", and listens when it is given a line
 *   meet call PATH TYPE [UID]   connects (as UID): says what becomes of it
 *   meet receive PATH dgram     binds, says "up", says and answers what is sent to it
 *   meet send PATH dgram        sends a datagram without a name to answer to, and one with
 *   meet hold PATH BYTES        connects, says "up", then sends so many bytes and compares what
 *                               is echoed, and says how many came
 *   meet many PATH COUNT        so many processes connect at the same time, one round trip each
 *   meet opath PATH TYPE        as call, through /proc/self/fd of an O_PATH descriptor
 *   meet list DIR PATH TYPE     reads DIR and stats all of it, then as call
 *
 * TYPE is stream, seqpacket or dgram. An error is said by name.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int type_of(const char *name) {
  if (!strcmp(name, "stream")) return SOCK_STREAM;
  if (!strcmp(name, "seqpacket")) return SOCK_SEQPACKET;
  return SOCK_DGRAM;
}

static int fail(const char *what) {
  printf("%s: %s\n", what, strerrorname_np(errno));
  return 1;
}

/* Long names are those of the working directory. */
static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    char directory[4096];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
    if (chdir(directory) != 0) exit(fail("chdir"));
    path = slash + 1;
  }
  strcpy(address.sun_path, path);
  return address;
}

static int make_listener(const char *path, const char *type) {
  struct sockaddr_un address = address_of(path);
  int fd = socket(AF_UNIX, type_of(type) | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) exit(fail("bind"));
  return fd;
}

static void say_peer(int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  printf("peer uid %d gid %d\n", peer.uid, peer.gid);
}

static void echo(int fd) {
  static char buffer[65536];
  long total = 0;
  ssize_t got;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  say_peer(fd);
  while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {
    total += got;
    for (ssize_t sent = 0; sent < got;) {
      ssize_t took = send(fd, buffer + sent, got - sent, MSG_NOSIGNAL);
      if (took < 0) break;
      sent += took;
    }
  }
  send(fd, "bye", 3, MSG_NOSIGNAL);
  printf("served %ld bytes%s%s\n", total, got < 0 ? ", then " : "",
         got < 0 ? strerrorname_np(errno) : "");
  exit(0);
}

static int serve(int fd) {
  signal(SIGCHLD, SIG_IGN);
  if (listen(fd, 4096) != 0) return fail("listen");
  puts("up");
  for (;;) {
    int one = accept(fd, NULL, NULL);
    if (one < 0) return fail("accept");
    if (fork() == 0) echo(one);
    close(one);
  }
}

static int try_connect(const char *path, const char *type) {
  struct sockaddr_un address = address_of(path);
  int fd = socket(AF_UNIX, type_of(type) | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static int talk(int fd) {
  char buffer[64];
  struct sockaddr_un name = {0};
  socklen_t length = sizeof name;
  getpeername(fd, (struct sockaddr *)&name, &length);
  printf("name %s\n", name.sun_path);
  say_peer(fd);
  if (send(fd, "hello", 5, MSG_NOSIGNAL) != 5) return fail("send");
  ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  if (got < 0) return fail("recv");
  printf("heard %.*s\n", (int)got, buffer);
  shutdown(fd, SHUT_WR);
  got = recv(fd, buffer, sizeof buffer, 0);
  if (got < 0) return fail("recv");
  printf("heard %.*s\n", (int)got, buffer);
  got = recv(fd, buffer, sizeof buffer, 0);
  printf("end %zd\n", got);
  return 0;
}

static int call(const char *path, const char *type) {
  int fd = try_connect(path, type);
  return fd < 0 ? fail("connect") : talk(fd);
}

static int hold(const char *path, long bytes) {
  static char out[32768], in[32768];
  int fd = try_connect(path, "stream");
  if (fd < 0) return fail("connect");
  puts("up");
  long sent = 0, heard = 0;
  while (heard < bytes) {
    struct pollfd one = {.fd = fd, .events = POLLIN | (sent < bytes ? POLLOUT : 0)};
    poll(&one, 1, -1);
    if (one.revents & POLLOUT) {
      for (size_t i = 0; i < sizeof out; i++) out[i] = (char)((sent + i) * 31 >> 3);
      size_t left = bytes - sent < (long)sizeof out ? (size_t)(bytes - sent) : sizeof out;
      ssize_t took = send(fd, out, left, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (took < 0 && errno != EAGAIN) return fail("send");
      if (took > 0) sent += took;
    }
    if (one.revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT);
      if (got == 0) break;
      if (got < 0 && errno != EAGAIN) return fail("recv");
      for (ssize_t i = 0; i < got; i++) {
        if (in[i] != (char)((heard + i) * 31 >> 3)) return printf("wrong at %ld\n", heard + i), 1;
      }
      if (got > 0) heard += got;
    }
  }
  printf("heard %ld bytes\n", heard);
  return 0;
}

static int many(const char *path, int count) {
  int gate[2], good = 0, status;
  if (pipe(gate) != 0) return fail("pipe");
  for (int i = 0; i < count; i++) {
    if (fork() != 0) continue;
    char buffer[64];
    close(gate[1]);
    if (read(gate[0], buffer, 1) < 0) exit(1);
    int fd = try_connect(path, "stream");
    if (fd < 0) exit(fail("connect"));
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) exit(fail("send"));
    exit(recv(fd, buffer, 1, 0) == 1 ? 0 : fail("recv"));
  }
  close(gate[0]);
  close(gate[1]);
  while (wait(&status) > 0) good += status == 0;
  printf("good %d\n", good);
  return 0;
}

/* Datagrams: says who has sent what, and answers where there is a name. */
static int receive(int fd) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  puts("up");
  for (;;) {
    char data[64], control[CMSG_SPACE(sizeof(struct ucred))];
    struct sockaddr_un from;
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part,
                             .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < 0) return fail("recvmsg");
    struct ucred who;
    memcpy(&who, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof who);
    printf("uid %d: %.*s\n", who.uid, (int)got, data);
    if (message.msg_namelen > sizeof from.sun_family) {
      sendto(fd, data, got, MSG_NOSIGNAL, (struct sockaddr *)&from, message.msg_namelen);
    }
  }
}

static int send_datagrams(const char *path) {
  struct sockaddr_un own = {.sun_family = AF_UNIX};
  struct sockaddr_un address = address_of(path);
  char buffer[64];
  int lone = socket(AF_UNIX, SOCK_DGRAM, 0), fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (sendto(lone, "lone", 4, 0, (struct sockaddr *)&address, sizeof address) != 4) {
    return fail("sendto");
  }
  if (bind(fd, (struct sockaddr *)&own, sizeof own.sun_family) != 0) return fail("autobind");
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return fail("connect");
  if (send(fd, "named", 5, 0) != 5) return fail("send");
  ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  if (got < 0) return fail("recv");
  printf("answer %.*s\n", (int)got, buffer);
  return 0;
}

static int list(const char *directory, const char *path, const char *type) {
  struct dirent *entry;
  DIR *all = opendir(directory);
  if (all == NULL) return fail("opendir");
  while ((entry = readdir(all)) != NULL) {
    struct stat status;
    fstatat(dirfd(all), entry->d_name, &status, AT_SYMLINK_NOFOLLOW);
  }
  closedir(all);
  return call(path, type);
}

int main(int argc, char **argv) {
  char link[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *what = argc > 3 ? argv[1] : "", *path = argv[2];
  if (!strcmp(what, "serve")) return serve(make_listener(path, argv[3]));
  if (!strcmp(what, "bind")) {
    int fd = make_listener(path, argv[3]);
    puts("up");
    getchar();
    return serve(fd);
  }
  if (!strcmp(what, "receive")) return receive(make_listener(path, argv[3]));
  if (!strcmp(what, "send")) return send_datagrams(path);
  if (!strcmp(what, "call")) {
    if (argc > 4) {
      uid_t user = atoi(argv[4]);
      if (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user)) {
        return fail("user");
      }
    }
    return call(path, argv[3]);
  }
  if (!strcmp(what, "hold")) return hold(path, atol(argv[3]));
  if (!strcmp(what, "many")) return many(path, atoi(argv[3]));
  if (!strcmp(what, "opath")) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return fail("open");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return call(link, argv[3]);
  }
  if (!strcmp(what, "list") && argc > 4) return list(path, argv[3], argv[4]);
  return 2;
}
