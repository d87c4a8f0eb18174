/*
 * execve(2) from the midst of walks through the mount: threads look at the paths that are
 * given while another one runs the program again, by the last of the paths, with files of
 * the mount open that execve(2) has to close.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 4
#define FILES 8

static char **paths;

static void *look(void *unused)
{
	char target[4096];
	struct stat status;

	(void)unused;
	for (;;) {
		for (char **path = paths; *path; path++) {
			if (readlink(*path, target, sizeof(target)) < 0)
				perror(*path);
			stat(*path, &status);
			int fd = open(*path, O_RDONLY | O_CLOEXEC);
			if (fd >= 0)
				close(fd);
		}
	}
	return NULL;
}

int main(int count, char **words)
{
	char left[16];
	pthread_t thread;
	int rounds = atoi(words[1]);

	if (rounds == 0) {
		puts("done");
		return 0;
	}
	paths = words + 2;
	for (int i = 0; i < FILES; i++)
		open(words[count - 1], O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, look, NULL))
			return 1;
	usleep(rounds % 7 * 1000);
	snprintf(left, sizeof(left), "%d", rounds - 1);
	words[1] = left;
	execv(words[count - 1], words);
	perror(words[count - 1]);
	return 1;
}
