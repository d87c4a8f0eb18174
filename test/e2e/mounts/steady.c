/*
 * A process that does one thing on a mount over and over until its standard input
 * ends, at least ROUNDS_MIN times, and fails at the first thing that is not as it should be.
 *
 *   steady ACTIVITY PATH
 *
 * It says "ready" after the first round and, at its end, "done ROUNDS".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ROUNDS_MIN: it has gone on after whatever happened to the mount. */
enum { BLOCK = 200000, BLOCKS = 5, MAPPED = 1 << 20, ENTRIES = 300, ROUNDS_MIN = 10 };

static int fd = -1;
static char written[BLOCK], found[BLOCK];
static char name[2][4096];
static volatile unsigned char *mapped;
static long rounds;

static void check(int is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "steady: round %ld: %s: %s\n", rounds, what, strerror(errno));
	exit(1);
}

static void data(void)
{
	off_t at = (off_t)(rounds % BLOCKS) * BLOCK;

	memset(written, (int)rounds, BLOCK);
	check(pwrite(fd, written, BLOCK, at) == BLOCK, "write");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	check(pread(fd, found, BLOCK, at) == BLOCK, "read");
	check(memcmp(written, found, BLOCK) == 0, "what is read is what was written");
}

/* Whether the server may be killed: the third argument. */
static int server_dies;

/* Each of these would fail if the server did it twice, or not at all. */
static void names(void)
{
	struct stat status;

	check(mkdir(name[0], 0755) == 0, "mkdir");
	check(rename(name[0], name[1]) == 0, "rename");
	check(stat(name[0], &status) < 0 && errno == ENOENT, "stat of the old name");
	check(rmdir(name[1]) == 0, "rmdir");
	int made = open(name[0], O_CREAT | O_EXCL | O_WRONLY, 0644);
	check(made >= 0, "create");
	check(link(name[0], name[1]) == 0, "link");
	check(fstat(made, &status) == 0 && status.st_nlink == 2, "two links");
	check(unlink(name[0]) == 0 && unlink(name[1]) == 0, "unlink");
	/* Only the server has it open on the HOST: it is gone when that is killed. */
	check(write(made, "x", 1) == 1 || (server_dies && errno == ESTALE),
	      "write to what has no name");
	check(close(made) == 0, "close");
}

static void readdirs(const char *path)
{
	DIR *directory = opendir(path);
	int count = 0;

	check(directory != NULL, "opendir");
	errno = 0;
	while (readdir(directory) != NULL)
		count++;
	check(errno == 0 && count == ENTRIES + 2, "as many entries as there are");
	closedir(directory);
}

static void lock(int is_flock, short type)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	if (is_flock)
		check(flock(fd, type == F_UNLCK ? LOCK_UN : LOCK_EX) == 0, "flock");
	else
		check(fcntl(fd, F_SETLKW, &range) == 0, "fcntl");
}

/* Counts in the file, under a lock: nobody else may have counted meanwhile. */
static void count(int is_flock)
{
	long number = 0;

	lock(is_flock, F_WRLCK);
	check(pread(fd, &number, sizeof(number), 0) >= 0, "read the number");
	number++;
	check(pwrite(fd, &number, sizeof(number), 0) == sizeof(number), "write the number");
	lock(is_flock, F_UNLCK);
}

static void fault(void)
{
	size_t at = (size_t)(rounds * 37 % (MAPPED / 4096)) * 4096;

	madvise((void *)mapped, MAPPED, MADV_DONTNEED);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	check(mapped[at] == 'm', "what is mapped");
}

static void round_of(const char *activity, const char *path)
{
	if (strcmp(activity, "data") == 0)
		data();
	else if (strcmp(activity, "names") == 0)
		names();
	else if (strcmp(activity, "readdir") == 0)
		readdirs(path);
	else if (strcmp(activity, "fault") == 0)
		fault();
	else
		count(strcmp(activity, "flock") == 0);
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	if (argc < 3)
		return 2;
	server_dies = argc > 3;
	for (int i = 0; i < 2; i++)
		snprintf(name[i], sizeof(name[i]), "%s/steady.%d.%d", argv[2], (int)getpid(), i);
	if (strcmp(argv[1], "names") != 0 && strcmp(argv[1], "readdir") != 0) {
		fd = open(argv[2], O_RDWR | O_CREAT, 0644);
		check(fd >= 0, argv[2]);
	}
	if (strcmp(argv[1], "fault") == 0) {
		mapped = mmap(NULL, MAPPED, PROT_READ, MAP_SHARED, fd, 0);
		check(mapped != MAP_FAILED, "mmap");
	}
	while (poll(&input, 1, 0) == 0 || rounds < ROUNDS_MIN) {
		round_of(argv[1], argv[2]);
		if (rounds++ == 0)
			write(STDOUT_FILENO, "ready\n", 6);
	}
	printf("done %ld\n", rounds);
	return 0;
}
