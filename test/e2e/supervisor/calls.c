/*
 * Makes one system call as it is told on the command line and says what came of it: its
 * result, or the name of its error. Static, so that it runs in any root.
 *
 *   calls mount SOURCE TARGET TYPE FLAGS DATA     "-" is NULL, FLAGS are a number
 *   calls umount TARGET FLAGS
 *   calls kill PID SIGNAL | tgkill PID TID SIGNAL | pidfd_open PID
 *   calls pidfd PID SIGNAL                        by a descriptor: poll(2), waitid(2), pidfd_getfd(2),
 *                                                 "ready" and a line of input are waited for, then
 *                                                 the signal, the end, signal 0: a line each
 *   calls pidfd_end PID                           "ready", and its result once it has ended
 *   calls setns PATH | setns_of PID               by a file, and by a pidfd (networks)
 *   calls fsopen TYPE | fspick PATH | open_tree PATH FLAGS | move_mount FROM TO
 *   calls mount_setattr PATH SET CLEAR FLAGS
 *   calls attach FROM TO                          a copy of a mount, by descriptors
 *   calls statfs PATH | fstatfs PATH              prints f_type in hexadecimal
 *   calls in DIRECTORY CALL…                      in that directory
 *   calls root DIRECTORY CALL…                    with that root
 *   calls user UID CALL…                          as that user
 *   calls private CALL…                           with mounts of its own
 *   calls loop COUNT CALL…                        so many times: prints nanoseconds for one,
 *                                                 the least mean of a hundred in a row
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IN_A_ROW 100

static const char *orNull(const char *word) { return strcmp(word, "-") ? word : NULL; }
static unsigned long number(const char *word) { return strtoul(word, NULL, 0); }

static void say(long result) {
  if (result < 0) puts(strerrorname_np(errno));
  else printf("%lx\n", result);
  fflush(stdout);
}

static long hasEnded(int fd, int timeoutMs) {
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  return poll(&polled, 1, timeoutMs);
}

static long untilEnd(int fd) {
  puts("ready");
  fflush(stdout);
  return hasEnded(fd, -1);
}

static long bySignal(int fd, int signal) {
  siginfo_t info;
  say(hasEnded(fd, 0));
  say(waitid(P_PIDFD, fd, &info, WEXITED));
  say(syscall(SYS_pidfd_getfd, fd, 0, 0));
  puts("ready");
  fflush(stdout);
  getchar();
  say(syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0));
  say(hasEnded(fd, -1));
  return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
}

static long call(char **words) {
  const char *name = words[0];
  if (!strcmp(name, "mount"))
    return syscall(SYS_mount, orNull(words[1]), orNull(words[2]), orNull(words[3]),
                   number(words[4]), orNull(words[5]));
  if (!strcmp(name, "umount")) return syscall(SYS_umount2, words[1], number(words[2]));
  if (!strcmp(name, "kill")) return syscall(SYS_kill, number(words[1]), number(words[2]));
  if (!strcmp(name, "tgkill"))
    return syscall(SYS_tgkill, number(words[1]), number(words[2]), number(words[3]));
  if (!strcmp(name, "fsopen")) return syscall(SYS_fsopen, words[1], 0);
  if (!strcmp(name, "fspick")) return syscall(SYS_fspick, AT_FDCWD, words[1], 0);
  if (!strcmp(name, "open_tree")) return syscall(SYS_open_tree, AT_FDCWD, words[1], number(words[2]));
  if (!strcmp(name, "move_mount"))
    return syscall(SYS_move_mount, AT_FDCWD, words[1], AT_FDCWD, words[2], 0);
  if (!strcmp(name, "attach"))
    return syscall(SYS_move_mount, syscall(SYS_open_tree, AT_FDCWD, words[1], OPEN_TREE_CLONE), "",
                   open(words[2], O_PATH), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  if (!strcmp(name, "mount_setattr")) {
    struct mount_attr attributes = {.attr_set = number(words[2]), .attr_clr = number(words[3])};
    return syscall(SYS_mount_setattr, AT_FDCWD, words[1], number(words[4]), &attributes, sizeof attributes);
  }
  if (!strcmp(name, "pidfd_open")) return syscall(SYS_pidfd_open, number(words[1]), 0);
  if (!strcmp(name, "setns")) return setns(open(words[1], O_RDONLY), 0);
  if (!strcmp(name, "setns_of"))
    return setns(syscall(SYS_pidfd_open, number(words[1]), 0), CLONE_NEWNET);
  if (!strncmp(name, "pidfd", 5)) {
    int fd = syscall(SYS_pidfd_open, number(words[1]), 0);
    return fd < 0 ? fd : name[5] ? untilEnd(fd) : bySignal(fd, number(words[2]));
  }
  if (!strcmp(name, "getppid")) return syscall(SYS_getppid) * 0;
  struct statfs figures;
  if (!strcmp(name, "statfs") || !strcmp(name, "fstatfs")) {
    int fd = name[0] == 'f' ? open(words[1], O_PATH) : -1;
    long result = fd < 0 ? statfs(words[1], &figures) : fstatfs(fd, &figures);
    return result < 0 ? result : (long)figures.f_type;
  }
  fprintf(stderr, "unknown call %s\n", name);
  exit(2);
}

int main(int argc, char **argv) {
  (void)argc;
  char **words = argv + 1;
  long count = 1;
  for (;; words += 2) {
    int failed = 0;
    if (!strcmp(words[0], "in")) failed = chdir(words[1]);
    else if (!strcmp(words[0], "root")) failed = chroot(words[1]) || chdir("/");
    else if (!strcmp(words[0], "user")) failed = setresuid(number(words[1]), number(words[1]), number(words[1]));
    else if (!strcmp(words[0], "loop")) count = (long)number(words[1]);
    else if (!strcmp(words[0], "private")) failed = unshare(CLONE_NEWNS), words--;
    else break;
    if (failed) return perror(words[0]), 2;
  }
  long result = 0, least = LONG_MAX;
  for (long done = 0; done < count; done += IN_A_ROW) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < IN_A_ROW && i < count; i++) result = call(words);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long ns = (end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec;
    if (ns / IN_A_ROW < least) least = ns / IN_A_ROW;
  }
  if (count > 1) result = least;
  if (result < 0) puts(strerrorname_np(errno));
  else printf(count > 1 ? "%ld\n" : "%lx\n", result);
  return 0;
}
