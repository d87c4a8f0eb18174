/* Tells what a program is given: each word of the command line asks for one thing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void arguments(int argc, char **argv) {
  for (int i = 0; i < argc; i++) {
    printf("%d %zu ", i, strlen(argv[i]));
    for (unsigned char *p = (unsigned char *)argv[i]; *p; p++) printf("%02x", *p);
    putchar('\n');
  }
}

static void environment(void) {
  for (char **e = environ; *e; e++) fwrite(*e, 1, strlen(*e) + 1, stdout);
}

static void identity(void) {
  uid_t r, e, s;
  gid_t gr, ge, gs, groups[256];
  getresuid(&r, &e, &s);
  getresgid(&gr, &ge, &gs);
  int n = getgroups(256, groups);
  printf("uid %d %d %d gid %d %d %d groups", r, e, s, gr, ge, gs);
  for (int i = 0; i < n; i++) printf(" %d", groups[i]);
  putchar('\n');
}

static void limits(void) {
  for (int i = 0; i < RLIM_NLIMITS; i++) {
    struct rlimit l;
    getrlimit(i, &l);
    printf("%d %llu %llu\n", i, (unsigned long long)l.rlim_cur, (unsigned long long)l.rlim_max);
  }
}

static void signals(void) {
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, NULL, &blocked);
  for (int n = 1; n < 32; n++) {
    struct sigaction a;
    sigaction(n, NULL, &a);
    printf("%d%s%s\n", n, sigismember(&blocked, n) ? " blocked" : "",
           a.sa_handler == SIG_IGN ? " ignored" : a.sa_handler == SIG_DFL ? "" : " handled");
  }
}

static void descriptors(void) {
  for (int fd = 0; fd < 1024; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) printf("%d access %d nonblock %d\n", fd, flags & O_ACCMODE, !!(flags & O_NONBLOCK));
  }
}

static volatile sig_atomic_t got;
static void handler(int n) { got = n; }

static void wait_for_signal(void) {
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  struct sigaction a = {.sa_handler = handler};
  sigfillset(&a.sa_mask);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int n = 1; n < 32; n++) sigaction(n, &a, NULL);
  if (write(1, "ready\n", 6) != 6) exit(1);
  while (!got) sigsuspend(&none);
  printf("signal %d\n", (int)got);
}

/* Runs a command as a shell runs a job: `signal` once it prints, then CONT and TERM; tells what became of it. */
static void job(int signal, char **command) {
  int ends[2], status;
  char line[64];
  if (pipe2(ends, O_CLOEXEC) < 0) exit(1);
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    dup2(ends[1], 1);
    execvp(command[0], command);
    _exit(127);
  }
  setpgid(child, child);
  if (read(ends[0], line, sizeof line) <= 0) exit(1);
  if (signal > 0) kill(-child, signal);
  if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) exit(1);
  printf("stopped by %d\n", WSTOPSIG(status));
  kill(-child, SIGCONT);
  if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status)) exit(1);
  kill(-child, SIGTERM);
  waitpid(child, &status, 0);
  printf("ended by %d, %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status));
}

static void expect(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

/* Runs a command with a socket that listens as descriptor 3; connects to it three times, the answers are told. */
static void listener(const char *family, char **command) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int f = !strcmp(family, "unix") ? AF_UNIX : !strcmp(family, "inet") ? AF_INET : AF_INET6;
  struct sockaddr *address = f == AF_UNIX ? (void *)&un : f == AF_INET ? (void *)&in : (void *)&in6;
  socklen_t length = f == AF_UNIX ? sizeof(sa_family_t) : f == AF_INET ? sizeof in : sizeof in6;
  int fd = socket(f, SOCK_STREAM, 0);
  expect(bind(fd, address, length) == 0 && listen(fd, 5) == 0, "listen");
  length = sizeof un;
  getsockname(fd, address, &length);
  pid_t child = fork();
  if (child == 0) {
    dup2(fd, 3);
    if (fd != 3) close(fd);
    execvp(command[0], command);
    _exit(127);
  }
  for (int i = 0; i < 3; i++) {
    char line[64];
    int n = 0, got, s = socket(f, SOCK_STREAM, 0);
    expect(connect(s, address, length) == 0, "connect");
    dprintf(s, "hello %d", i);
    shutdown(s, SHUT_WR);
    while ((got = read(s, line + n, sizeof line - n)) > 0) n += got;
    printf("%.*s\n", n, line);
    close(s);
  }
  int status;
  waitpid(child, &status, 0);
  printf("ended with %d\n", status);
}

/* Answers those three. */
static void accept_three(void) {
  struct sockaddr_storage from;
  socklen_t length = sizeof from;
  getsockname(3, (struct sockaddr *)&from, &length);
  for (int i = 0; i < 3; i++) {
    char line[64];
    int n = 0, got, s = accept(3, NULL, NULL);
    expect(s >= 0, "accept");
    while ((got = read(s, line + n, sizeof line - n)) > 0) n += got;
    dprintf(s, "family %d has %.*s", from.ss_family, n, line);
    close(s);
  }
}

static int type_of(const char *name) {
  return !strcmp(name, "stream") ? SOCK_STREAM : !strcmp(name, "seqpacket") ? SOCK_SEQPACKET : SOCK_DGRAM;
}

/* Runs a command with the end of a pair as descriptor 3, to which it sends messages; the answers are told. */
static void pair(const char *type, char **command) {
  int ends[2], status;
  expect(socketpair(AF_UNIX, type_of(type), 0, ends) == 0, "socketpair");
  pid_t child = fork();
  if (child == 0) {
    int fd = fcntl(ends[1], F_DUPFD, 10);
    close(ends[0]);
    close(ends[1]);
    dup2(fd, 3);
    close(fd);
    execvp(command[0], command);
    _exit(127);
  }
  close(ends[1]);
  for (int i = 1; i <= 3; i++) {
    char line[70000] = "";
    int size = i == 3 ? 60000 : i;
    memset(line, '0' + i, size);
    expect(write(ends[0], line, size) == size, "write");
    int got = 0, want = size + 1, one;
    while (got < want && (one = read(ends[0], line + got, sizeof line - got)) > 0) got += one;
    printf("%d bytes, %c to %c\n", got, line[0], line[got - 1]);
  }
  close(ends[0]);
  waitpid(child, &status, 0);
  printf("ended with %d\n", status);
}

/* Gives each message back with another byte. */
static void echo_three(void) {
  struct stat s;
  int type;
  socklen_t length = sizeof type;
  expect(fstat(3, &s) == 0 && getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &length) == 0, "type");
  for (int i = 1; i <= 3; i++) {
    char line[70000];
    int want = i == 3 ? 60000 : i, got = 0, one;
    while (got < want && (one = read(3, line + got, sizeof line - 1 - got)) > 0) got += one;
    line[got] = 'a' + type;
    expect(write(3, line, got + 1) == got + 1, "write");
  }
}

/* The next words of a sequence that never repeats itself here. */
static void words(unsigned long long *x, unsigned long long *to, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] = *x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
}

enum { BLOCK = 1 << 17 };

/* Writes so many bytes (a multiple of BLOCK) of the sequence of a seed. */
static void generate(unsigned long long seed, long long bytes) {
  static unsigned long long block[BLOCK / 8];
  for (; bytes > 0; bytes -= BLOCK) {
    words(&seed, block, BLOCK / 8);
    for (ssize_t at = 0, n; at < BLOCK; at += n) {
      n = write(1, (char *)block + at, BLOCK - at);
      expect(n > 0, "write");
    }
  }
}

/* Reads them, and stops once for so many seconds. */
static void check(unsigned long long seed, long long bytes, int seconds) {
  static unsigned long long block[BLOCK / 8], wanted[BLOCK / 8];
  for (long long done = 0; done < bytes; done += BLOCK) {
    for (ssize_t at = 0, n; at < BLOCK; at += n) {
      n = read(0, (char *)block + at, BLOCK - at);
      expect(n >= 0, "read");
      if (n == 0) {
        printf("ends after %lld\n", done + at);
        exit(1);
      }
    }
    words(&seed, wanted, BLOCK / 8);
    if (memcmp(block, wanted, BLOCK)) {
      printf("differs behind %lld\n", done);
      exit(1);
    }
    if (done == 0) sleep(seconds);
  }
  puts(read(0, block, 1) == 0 ? "right" : "too much");
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "arguments")) arguments(argc, argv);
  else if (!strcmp(what, "environment")) environment();
  else if (!strcmp(what, "identity")) identity();
  else if (!strcmp(what, "limits")) limits();
  else if (!strcmp(what, "signals")) signals();
  else if (!strcmp(what, "descriptors")) descriptors();
  else if (!strcmp(what, "wait")) wait_for_signal();
  else if (!strcmp(what, "session")) printf("%d %d\n", getsid(0) == getpid(), getpgrp() == getpid());
  else if (!strcmp(what, "listener")) listener(argv[2], argv + 3);
  else if (!strcmp(what, "accept")) accept_three();
  else if (!strcmp(what, "pair")) pair(argv[2], argv + 3);
  else if (!strcmp(what, "echo")) echo_three();
  else if (!strcmp(what, "generate")) generate(atoll(argv[2]), atoll(argv[3]));
  else if (!strcmp(what, "check")) check(atoll(argv[2]), atoll(argv[3]), argc > 4 ? atoi(argv[4]) : 0);
  else if (!strcmp(what, "job")) job(atoi(argv[2]), argv + 3);
  else if (!strcmp(what, "raise")) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    raise(atoi(argv[2]));
  } else if (!strcmp(what, "exit")) _exit(atoi(argv[2]));
  else if (!strcmp(what, "directory")) puts(getcwd((char[4096]){0}, 4096));
  else if (!strcmp(what, "umask")) printf("%03o\n", umask(0));
  else return 99;
  return 0;
}
