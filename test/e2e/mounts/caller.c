/*
 * A process that makes one system call on a mount when it is told to.
 *
 *   caller OPERATION PATH
 *
 * It prepares what the call needs, says "ready", waits for a byte on standard
 * input, makes the call, and says "done ERRNO". It has one thread and the
 * default action for every signal, but for SIGALRM, whose handler does nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DATA_BYTES = 1 << 20 };

static int fd = -1;
static void *memory;
static char renamed[4096];

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "caller: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void on_alarm(int signal)
{
	(void)signal;
}

static int lock(int command, short type)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_len = 10 };

	return fcntl(fd, command, &range);
}

static int is(const char *operation, const char *name)
{
	return strcmp(operation, name) == 0;
}

static void prepare(const char *operation, const char *path)
{
	int flags = is(operation, "readdir") ? O_RDONLY | O_DIRECTORY : O_RDWR;

	memory = malloc(DATA_BYTES);
	/* Untouched memory would leave page by page. */
	memset(memory, 'w', DATA_BYTES);
	snprintf(renamed, sizeof(renamed), "%s.renamed", path);
	if (is(operation, "stat") || is(operation, "open") || is(operation, "mkdir") ||
	    is(operation, "rename"))
		return;
	fd = open(path, flags);
	check(fd, path);
	/* The first write asks for file capabilities, which then are known (S_NOSEC). */
	if (is(operation, "fsync") || is(operation, "write"))
		check(write(fd, memory, 1) == 1 ? 0 : -1, "write");
	if (is(operation, "close") || is(operation, "exit"))
		check(lock(F_SETLK, F_WRLCK), "lock");
	if (is(operation, "exit"))
		check(flock(fd, LOCK_EX), "flock");
	if (is(operation, "fault")) {
		memory = mmap(NULL, DATA_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		check(memory == MAP_FAILED ? -1 : 0, "mmap");
	}
}

static int call(const char *operation, const char *path)
{
	struct stat status;

	if (is(operation, "stat"))
		return stat(path, &status);
	if (is(operation, "open"))
		return open(path, O_RDONLY);
	if (is(operation, "read"))
		return pread(fd, memory, DATA_BYTES, 0) < 0 ? -1 : 0;
	if (is(operation, "write"))
		return pwrite(fd, memory, DATA_BYTES, 0) < 0 ? -1 : 0;
	if (is(operation, "mkdir"))
		return mkdir(path, 0755);
	if (is(operation, "readdir"))
		return getdents64(fd, memory, DATA_BYTES) < 0 ? -1 : 0;
	if (is(operation, "fsync"))
		return fsync(fd);
	if (is(operation, "close"))
		return close(fd);
	if (is(operation, "setlkw"))
		return lock(F_SETLKW, F_WRLCK);
	if (is(operation, "setlk"))
		return lock(F_SETLK, F_WRLCK);
	if (is(operation, "flock"))
		return flock(fd, LOCK_EX);
	if (is(operation, "fault"))
		return *(volatile char *)memory < 0;
	if (is(operation, "rename"))
		return rename(path, renamed);
	if (is(operation, "exit"))
		exit(0);
	fprintf(stderr, "caller: no operation %s\n", operation);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction ignore_alarm = { .sa_handler = on_alarm };
	char go;

	if (argc != 3)
		return 2;
	sigaction(SIGALRM, &ignore_alarm, NULL);
	prepare(argv[1], argv[2]);
	printf("ready\n");
	fflush(stdout);
	if (read(STDIN_FILENO, &go, 1) != 1)
		return 2;
	errno = 0;
	int result = call(argv[1], argv[2]);
	printf("done %d\n", result < 0 ? errno : 0);
	fflush(stdout);
	/* Keeps what it has open and locked until standard input ends. */
	while (read(STDIN_FILENO, &go, 1) > 0)
		;
	return 0;
}
