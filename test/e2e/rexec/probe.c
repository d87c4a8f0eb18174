/* Tells what a program is given: each word of the command line asks for one thing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
