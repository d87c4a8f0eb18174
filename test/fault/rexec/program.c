/* A program for rexec's faults: program RECORD ID BYTES CODE PAUSE_US
 *
 * Adds "start ID PID" to RECORD, writes BYTES of a pattern of its own (ID) to standard output,
 * PAUSE_US between pieces, copies standard input behind it, says "err ID" on standard error, adds
 * "end ID PID" and exits with CODE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 16384 };

static void record(const char *path, const char *what, const char *id) {
  char line[128];
  int length = snprintf(line, sizeof line, "%s %s %d\n", what, id, getpid());
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || write(fd, line, length) != length) _exit(99);
  close(fd);
}

static void put(int fd, const unsigned char *bytes, size_t length) {
  while (length > 0) {
    ssize_t wrote = write(fd, bytes, length);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) _exit(98);
    bytes += wrote;
    length -= (size_t)wrote;
  }
}

int main(int argc, char **argv) {
  static unsigned char piece[PIECE];
  if (argc != 6) return 97;
  const char *path = argv[1], *id = argv[2];
  unsigned seed = (unsigned)atoi(id);
  size_t bytes = strtoul(argv[3], NULL, 10), at = 0;
  useconds_t pause = (useconds_t)atoi(argv[5]);
  record(path, "start", id);
  while (at < bytes) {
    size_t length = bytes - at < PIECE ? bytes - at : PIECE;
    for (size_t i = 0; i < length; i++) {
      unsigned n = (unsigned)(at + i);
      piece[i] = (unsigned char)(n * 31 + (n >> 8) * 7 + seed * 13);
    }
    put(1, piece, length);
    at += length;
    if (pause > 0) usleep(pause);
  }
  ssize_t got;
  while ((got = read(0, piece, PIECE)) > 0) put(1, piece, (size_t)got);
  char text[64];
  put(2, (unsigned char *)text, (size_t)snprintf(text, sizeof text, "err %s\n", id));
  record(path, "end", id);
  return atoi(argv[4]);
}
