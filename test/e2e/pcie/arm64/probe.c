/*
 * What a machine sees of a file system, in words that say the same on every machine: run on the
 * HOST in a directory, and on the DPU, of another architecture, in another one on the mount,
 * it must print the same.
 *
 *   probe files DIRECTORY     makes files there; a line for each thing tried
 *   probe stat PATH…          their attributes
 *   probe echo SOCKET         listens there; says in capitals what the first who connects says
 *   probe ask SOCKET WORD     connects, says the word, prints the answer
 *   probe execute PROGRAM     becomes it, or prints why not
 *   probe watch DIRECTORY     prints the name of the first that is made there
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PAGE 4096
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const char *name_of(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void say(const char *what, long result) { printf("%s: %s\n", what, name_of(result)); }

/* The name of a number of a table, as flags are of different bits on different machines. */
static const struct {
  const char *name;
  int flag;
} flags[] = {
    {"wronly", O_WRONLY},   {"rdwr", O_RDWR},         {"append", O_APPEND},
    {"nonblock", O_NONBLOCK}, {"dsync", O_DSYNC},     {"sync", O_SYNC},
    {"direct", O_DIRECT},   {"directory", O_DIRECTORY}, {"nofollow", O_NOFOLLOW},
    {"noatime", O_NOATIME}, {"path", O_PATH},
};

/* Opens `path` with `wanted`: what comes of it, and which flags the descriptor has. */
static void try_open(const char *title, const char *path, int wanted) {
  int fd = open(path, wanted, 0640);
  printf("open %s: %s", title, name_of(fd));
  int have = fd < 0 ? 0 : fcntl(fd, F_GETFL);
  for (size_t i = 0; i < LENGTH(flags); i++) {
    if ((have & flags[i].flag) == flags[i].flag) printf(" %s", flags[i].name);
  }
  printf("\n");
  if (fd >= 0) close(fd);
}

static void attributes(const char *path) {
  struct statx s;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &s) != 0) {
    say(path, -1);
    return;
  }
  const char *last = strrchr(path, '/');
  printf("%s: mode %o links %u owner %u:%u size %llu blocks %llu of %u inode %llu device %u:%u",
         last == NULL ? path : last + 1, s.stx_mode, s.stx_nlink, s.stx_uid, s.stx_gid,
         (unsigned long long)s.stx_size, (unsigned long long)s.stx_blocks, s.stx_blksize,
         (unsigned long long)s.stx_ino, s.stx_rdev_major, s.stx_rdev_minor);
  printf(" modified %lld.%09u changed %lld.%09u\n", (long long)s.stx_mtime.tv_sec,
         s.stx_mtime.tv_nsec, (long long)s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec);
}

static void open_flags(void) {
  char bytes[2 * PAGE];
  memset(bytes, 'x', sizeof bytes);
  int fd = open("file", O_CREAT | O_EXCL | O_WRONLY, 0640);
  say("write", write(fd, bytes, sizeof bytes));
  say("read a file that is open for writing", read(fd, bytes, 1));
  close(fd);
  mkdir("directory", 0750);
  say("link to a file", symlink("file", "link"));
  say("link to a directory", symlink("directory", "other"));
  try_open("a file", "file", O_RDONLY);
  try_open("a file as a directory", "file", O_RDONLY | O_DIRECTORY);
  try_open("a directory", "directory", O_RDONLY | O_DIRECTORY);
  try_open("a directory to write", "directory", O_WRONLY);
  try_open("a link", "link", O_RDONLY);
  try_open("a link itself", "link", O_RDONLY | O_NOFOLLOW);
  try_open("a link itself, path alone", "link", O_PATH | O_NOFOLLOW);
  try_open("a link to a directory", "other", O_RDONLY | O_DIRECTORY);
  try_open("a link to one itself", "other", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try_open("what is there, anew", "file", O_CREAT | O_EXCL | O_WRONLY);
  try_open("what is not there", "nothing", O_RDONLY);
  try_open("to append", "file", O_WRONLY | O_APPEND | O_NONBLOCK);
  try_open("synchronous", "file", O_RDWR | O_SYNC);
  try_open("data synchronous", "file", O_RDWR | O_DSYNC);
  try_open("without access time", "file", O_RDONLY | O_NOATIME);
  try_open("without a cache", "file", O_RDWR | O_DIRECT);
  try_open("a new one without a cache", "direct", O_RDWR | O_DIRECT | O_CREAT | O_EXCL);
}

static void direct_data(void) {
  char *page = aligned_alloc(PAGE, PAGE);
  int fd = open("direct", O_RDWR | O_DIRECT);
  memset(page, 'd', PAGE);
  printf("written without a cache: %zd\n", pwrite(fd, page, PAGE, PAGE));
  memset(page, 0, PAGE);
  say("read", pread(fd, page, PAGE, PAGE));
  printf("a byte of it: %c\n", page[17]);
  printf("data at %lld, hole at %lld\n", (long long)lseek(fd, 0, SEEK_DATA),
         (long long)lseek(fd, PAGE, SEEK_HOLE));
  close(fd);
  free(page);
}

static void changes(void) {
  struct timespec times[2] = {{1, 123456789}, {1700000000, 987654321}};
  int fd = open("file", O_RDWR);
  say("truncate", ftruncate(fd, 10000));
  say("allocate", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536));
  char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  memcpy(map, "mapped", 6);
  say("msync", msync(map, PAGE, MS_SYNC));
  char text[7] = "";
  say("read what was mapped", pread(fd, text, 6, 0));
  printf("it is: %s\n", text);
  munmap(map, PAGE);
  close(fd);
  try_open("to empty", "link", O_WRONLY | O_TRUNC);
  say("times", utimensat(AT_FDCWD, "file", times, 0));
  say("mode", chmod("file", 04751));
  say("owner", chown("file", 70000, 80000));
  say("rename over one, refused", renameat2(AT_FDCWD, "file", AT_FDCWD, "direct", RENAME_NOREPLACE));
  say("exchange", renameat2(AT_FDCWD, "directory", AT_FDCWD, "direct", RENAME_EXCHANGE));
  say("hard link", link("file", "second"));
  say("character device", mknod("character", S_IFCHR | 0600, makedev(5, 70000)));
  say("block device", mknod("block", S_IFBLK | 0600, makedev(259, 3)));
  say("FIFO", mkfifo("fifo", 0644));
  say("socket", mknod("socket", S_IFSOCK | 0644, 0));
  say("directory that is not empty", rmdir("."));
}

static void extended(void) {
  char value[64] = "", list[64];
  say("setxattr", setxattr("file", "user.a", "value", 5, XATTR_CREATE));
  say("setxattr again", setxattr("file", "user.a", "value", 5, XATTR_CREATE));
  say("getxattr", getxattr("file", "user.a", value, sizeof value));
  printf("it is: %s\n", value);
  say("getxattr, too short", getxattr("file", "user.a", value, 1));
  say("getxattr of none", getxattr("file", "user.b", value, 1));
  printf("listxattr: %zd\n", listxattr("file", list, sizeof list));
}

/* Locks of this process, as another one sees them. */
static void locks(void) {
  int fd = open("file", O_RDWR);
  struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
  say("lock", fcntl(fd, F_SETLK, &range));
  say("flock", flock(fd, LOCK_EX));
  fflush(stdout);
  if (fork() == 0) {
    int own = open("file", O_RDWR);
    struct flock asked = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    say("somebody else asks", fcntl(own, F_GETLK, &asked));
    printf("there is: %s at %lld, %lld long\n", asked.l_type == F_WRLCK ? "write" : "other",
           (long long)asked.l_start, (long long)asked.l_len);
    asked.l_type = F_WRLCK;
    say("and wants it", fcntl(own, F_SETLK, &asked));
    say("and the other kind", flock(own, LOCK_EX | LOCK_NB));
    exit(0);
  }
  wait(NULL);
  close(fd);
}

static int entries_in_order(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void lists(void) {
  struct dirent **entries;
  int count = scandir(".", &entries, NULL, entries_in_order);
  for (int i = 0; i < count; i++) printf("entry %s %d\n", entries[i]->d_name, entries[i]->d_type);
  struct statfs s;
  say("statfs", statfs(".", &s));
  printf("blocks %llu of %ld, files %llu, names %ld\n", (unsigned long long)s.f_blocks,
         (long)s.f_frsize, (unsigned long long)s.f_files, (long)s.f_namelen);
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

static int answer(const char *path) {
  struct sockaddr_un address = address_of(path);
  char word[64];
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  if (listen(listener, 5) != 0) return 1;
  int fd = accept(listener, NULL, NULL);
  ssize_t got = read(fd, word, sizeof word);
  for (ssize_t i = 0; i < got; i++) word[i] = (char)toupper(word[i]);
  return got > 0 && write(fd, word, (size_t)got) == got ? 0 : 1;
}

static int ask(const char *path, const char *word) {
  struct sockaddr_un address = address_of(path);
  char reply[65] = "";
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    printf("%s\n", name_of(-1));
    return 1;
  }
  if (write(fd, word, strlen(word)) < 0 || read(fd, reply, 64) < 0) return 1;
  printf("%s\n", reply);
  return 0;
}

static int watch(const char *directory) {
  char bytes[4096];
  int fd = inotify_init1(0);
  if (inotify_add_watch(fd, directory, IN_CREATE) < 0) return 1;
  if (read(fd, bytes, sizeof bytes) < 0) return 1;
  const struct inotify_event *event = (const void *)bytes;
  printf("%s%s\n", event->mask & IN_CREATE ? "made " : "", event->name);
  return 0;
}

static int files(const char *directory) {
  umask(0);
  if (chdir(directory) != 0) return 1;
  open_flags();
  direct_data();
  changes();
  extended();
  locks();
  lists();
  return 0;
}

int main(int count, char **words) {
  const char *what = count < 3 ? "" : words[1];
  if (strcmp(what, "files") == 0) return files(words[2]);
  if (strcmp(what, "echo") == 0) return answer(words[2]);
  if (strcmp(what, "ask") == 0 && count > 3) return ask(words[2], words[3]);
  if (strcmp(what, "watch") == 0) return watch(words[2]);
  if (strcmp(what, "execute") == 0) {
    execv(words[2], words + 2);
    printf("%s\n", name_of(-1));
    return 1;
  }
  if (strcmp(what, "stat") != 0) return 2;
  for (int i = 2; i < count; i++) attributes(words[i]);
  return 0;
}
