/*
 * A thread that is not its process's first one, and what it finds of itself in /proc; then
 * the program again, by the path that programs restart themselves with (Go's os.Executable).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void print_link(const char *path)
{
	char target[4096];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		fail(path);
	target[length] = 0;
	printf("%s\n", target);
}

static void *look(void *unused)
{
	char name[64];
	FILE *comm = fopen("/proc/thread-self/comm", "w");

	(void)unused;
	if (!comm || fputs("a-thread", comm) < 0 || fclose(comm))
		fail("/proc/thread-self/comm");
	printf("%d/task/%ld\n", getpid(), syscall(SYS_gettid));
	print_link("/proc/thread-self");
	snprintf(name, sizeof(name), "/proc/self/task/%ld/comm", syscall(SYS_gettid));
	comm = fopen(name, "r");
	if (!comm || !fgets(name, sizeof(name), comm))
		fail(name);
	printf("%s", name);
	return NULL;
}

int main(int count, char **words)
{
	pthread_t thread;

	if (count > 1) {
		printf("%s as %d\n", words[1], getpid());
		return 0;
	}
	if (pthread_create(&thread, NULL, look, NULL) || pthread_join(thread, NULL))
		fail("thread");
	printf("%d\n", getpid());
	fflush(stdout);
	execl("/proc/self/exe", words[0], "again", (char *)NULL);
	fail("/proc/self/exe");
}
