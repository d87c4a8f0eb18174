/*
 * Reads each regular file of a HOST's tree there, through a mount of it, and there again,
 * and compares. Used as
 *
 *   sweep HOST MOUNT PROCESSES UID NAME...
 *
 * It does so as user UID, in as many processes. These are left out, for what they are at
 * changes by it, and so are the NAMEs below /proc, or below /proc/PID where they begin
 * with a slash. Each process prints `count KIND N`, `skip REASON N` and
 * `different PATH: WHY`; ends with 0 unless it could not begin.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_MAX = 1 << 20, CHUNK = 128 << 10, TRIES = 12, STUCK_S = 60, PATH_BYTES = 4096, WORD_MAX = 64, WORDS_MAX = 1024 };

/* Files that are not read, with the reason: the pattern is matched without FNM_PATHNAME. */
static const struct skip {
  const char *pattern, *reason;
} SKIPS[] = {
    {"/proc/kmsg", "reading waits and takes the messages away"},
    {"/proc/kcore", "all of the kernel's memory"},
    {"/proc/kpage*", "gigabytes that change as they are read"},
    {"/proc/*/mem", "a process's memory"},
    {"/proc/*/pagemap", "terabytes of page numbers"},
    {"/proc/keys", "the keys of who reads: the server's"},
    {"/proc/sys/vm/stat_refresh", "reading has an effect"},
    {"/proc/sys/kernel/random/*uuid", "another one at each read"},
    {"*/trace_pipe*", "reading waits and takes the events away"},
    {"*/page_idle/bitmap", "gigabytes that change as they are read"},
    {"/sys/kernel/debug/*", "its files do as they please"},
    {"/sys/devices/*/rom", "reading has an effect on the device"},
    {"/sys/devices/*/resource[0-9]*", "a device's registers"},
};
static int skipped[sizeof SKIPS / sizeof *SKIPS];

enum kind { EXACT, REFUSED, SHAPED, CHANGING, GONE, DIFFERENT, KINDS };
static const char *const KIND_NAMES[] = {"exact", "refused", "shaped", "changing", "gone", "different"};
static long counts[KINDS];

/* What reading a file gave: `error` at `stage` (0 none, 'o' open, 'r' read), and the bytes before. */
struct reading {
  int error;
  char stage;
  size_t length;
  char *bytes;
};

static const char *host, *mount_point;
static unsigned share, shares;
static char now_at[PATH_BYTES];
static pid_t group;
static char **left_out;
static int left_out_count;

static void stuck(int signal) {
  (void)signal;
  char line[PATH_BYTES + 32];
  int length = snprintf(line, sizeof line, "different %s: stuck\n", now_at);
  if (write(1, line, length) < 0) _exit(3);
  _exit(0);
}

static void take(const char *path, struct reading *into) {
  into->error = into->stage = into->length = 0;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    into->error = errno;
    into->stage = 'o';
    return;
  }
  while (into->length < READ_MAX) {
    size_t room = READ_MAX - into->length;
    ssize_t got = read(fd, into->bytes + into->length, room < CHUNK ? room : CHUNK);
    if (got < 0) {
      into->error = errno;
      into->stage = 'r';
    }
    if (got <= 0) break;
    into->length += got;
  }
  close(fd);
}

static int same(const struct reading *a, const struct reading *b) {
  return a->error == b->error && a->stage == b->stage && a->length == b->length &&
         memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* The text with each number, decimal or hexadecimal, as one #, and blanks as one. */
static size_t shape(const struct reading *of, char *into) {
  size_t out = 0;
  for (size_t i = 0; i < of->length;) {
    if (isdigit((unsigned char)of->bytes[i]) || (of->bytes[i] == '-' && i + 1 < of->length &&
                                                 isdigit((unsigned char)of->bytes[i + 1]))) {
      i++;
      while (i < of->length && (isxdigit((unsigned char)of->bytes[i]) || of->bytes[i] == '.' ||
                                of->bytes[i] == 'x'))
        i++;
      into[out++] = '#';
    } else if (of->bytes[i] == ' ' || of->bytes[i] == '\t') {
      while (i < of->length && (of->bytes[i] == ' ' || of->bytes[i] == '\t')) i++;
      into[out++] = ' ';
    } else {
      into[out++] = of->bytes[i++];
    }
  }
  return out;
}

static int same_shape(const struct reading *a, const struct reading *b) {
  static char first[READ_MAX], second[READ_MAX];
  size_t length = shape(a, first);
  return a->error == b->error && shape(b, second) == length && memcmp(first, second, length) == 0;
}

/* Length of the line's first word, with its numbers masked, in `into`. */
static size_t first_word(const char *line, const char *end, char *into) {
  while (line < end && (*line == ' ' || *line == '\t')) line++;
  const char *stop = line;
  while (stop < end && stop - line < WORD_MAX && strchr(" \t\n:=", *stop) == NULL) stop++;
  struct reading word = {.length = stop - line, .bytes = (char *)line};
  return shape(&word, into);
}

/* Whether each line of `a` begins with a word that a line of `b` or `c` begins with. */
static int same_words(const struct reading *a, const struct reading *b, const struct reading *c) {
  static char known[WORDS_MAX][WORD_MAX];
  size_t lengths[WORDS_MAX], count = 0;
  char word[WORD_MAX];
  for (int i = 0; i < 3; i++) {
    const struct reading *of = i == 0 ? b : i == 1 ? c : a;
    const char *end = of->bytes + of->length;
    for (const char *line = of->bytes; line < end;) {
      size_t length = first_word(line, end, word), at = 0;
      while (at < count && (lengths[at] != length || memcmp(known[at], word, length) != 0)) at++;
      if (at == count && i == 2) return 0;
      if (at == count && count < WORDS_MAX) {
        memcpy(known[count], word, length);
        lengths[count++] = length;
      }
      const char *next = memchr(line, '\n', end - line);
      line = next == NULL ? end : next + 1;
    }
  }
  return a->length > 0 && a->error == c->error;
}

static int is_gone(const struct reading *r) { return r->error == ENOENT || r->error == ESRCH; }

static void tell(const char *path, const struct reading *a, const struct reading *b) {
  size_t at = 0;
  while (at < a->length && at < b->length && a->bytes[at] == b->bytes[at]) at++;
  printf("different %s: HOST %zu bytes and %s (%c), mount %zu bytes and %s (%c), first at %zu\n", path,
         a->length, strerrorname_np(a->error), a->stage ? a->stage : '-', b->length,
         strerrorname_np(b->error), b->stage ? b->stage : '-', at);
}

static enum kind compare(const char *path) {
  static char before_bytes[READ_MAX], there_bytes[READ_MAX], after_bytes[READ_MAX];
  struct reading before = {.bytes = before_bytes}, there = {.bytes = there_bytes},
                 after = {.bytes = after_bytes};
  char on_host[PATH_BYTES], on_mount[PATH_BYTES];
  snprintf(on_host, sizeof on_host, "%s%s", host, path);
  snprintf(on_mount, sizeof on_mount, "%s%s", mount_point, path);
  int settled = 0;
  for (int i = 0; i < TRIES; i++) {
    take(on_host, &before);
    take(on_mount, &there);
    take(on_host, &after);
    if (is_gone(&after)) return GONE;
    if (same(&before, &after)) {
      if (same(&before, &there)) return before.error != 0 ? REFUSED : EXACT;
      settled++;
    } else if (same_shape(&before, &after)) {
      if (same_shape(&before, &there)) return SHAPED;
    }
    if (i > 2) usleep(1000 << i);
  }
  // What changes in its very structure, a list of timers, has the same kinds of lines.
  if (settled <= TRIES / 4 && same_words(&there, &before, &after)) return CHANGING;
  tell(path, &after, &there);
  return DIFFERENT;
}

static unsigned hash(const char *text) {
  unsigned result = 2166136261u;
  for (; *text; text++) result = (result ^ (unsigned char)*text) * 16777619u;
  return result >> 8;
}

static int is_left_out(const char *path) {
  if (strncmp(path, "/proc/", 6) != 0) return 0;
  const char *name = path + 6, *below = strchr(name, '/');
  pid_t pid = atoi(name);
  if (below == NULL && pid > 0 && getpgid(pid) == group) return 1;
  if (below != NULL && pid == 0) return 0;
  for (int i = 0; i < left_out_count; i++) {
    if (strcmp(below != NULL ? below : name, left_out[i]) == 0) return 1;
  }
  return 0;
}

static void visit(const char *path) {
  for (size_t i = 0; i < sizeof SKIPS / sizeof *SKIPS; i++) {
    if (fnmatch(SKIPS[i].pattern, path, 0) == 0) {
      skipped[i]++;
      return;
    }
  }
  snprintf(now_at, sizeof now_at, "%s", path);
  alarm(STUCK_S);
  counts[compare(path)]++;
}

static void walk(const char *path) {
  char full[PATH_BYTES];
  snprintf(full, sizeof full, "%s%s", host, path);
  if (is_left_out(path)) return;
  DIR *directory = opendir(full);
  if (directory == NULL) return;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char below[PATH_BYTES];
    if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= (int)sizeof below) continue;
    if (entry->d_type == DT_DIR) walk(below);
    if (entry->d_type == DT_REG && hash(below) % shares == share) visit(below);
  }
  closedir(directory);
}

static int sweep(void) {
  struct sigaction action = {.sa_handler = stuck};
  sigaction(SIGALRM, &action, NULL);
  walk("");
  alarm(0);
  for (int i = 0; i < KINDS; i++) printf("count %s %ld\n", KIND_NAMES[i], counts[i]);
  for (size_t i = 0; i < sizeof SKIPS / sizeof *SKIPS; i++) {
    if (skipped[i] > 0) printf("skip %d %s: %s\n", skipped[i], SKIPS[i].pattern, SKIPS[i].reason);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  host = argv[1];
  mount_point = argv[2];
  shares = atoi(argv[3]);
  uid_t uid = atoi(argv[4]);
  left_out = argv + 5;
  left_out_count = argc - 5;
  setpgid(0, 0);
  group = getpgid(0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (uid != 0 && (setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0)) {
    perror("setuid");
    return 1;
  }
  for (share = 0; share < shares; share++) {
    if (fork() == 0) return sweep();
  }
  int status, failed = 0;
  while (wait(&status) > 0) failed |= status;
  return failed != 0;
}
