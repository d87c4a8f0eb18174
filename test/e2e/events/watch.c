/*
 * Watches PATHs with inotify(7) and prints every event but opens and reads, a line each:
 * number of the path, kinds, name. Prints "ready" once it watches; ends with its stdin.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define KINDS                                                                                      \
	(IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE | IN_DELETE_SELF |   \
	 IN_MOVE_SELF)

static const struct {
	unsigned bit;
	const char *name;
} names[] = {
	{IN_CREATE, "CREATE"},           {IN_DELETE, "DELETE"},         {IN_MODIFY, "MODIFY"},
	{IN_CLOSE_WRITE, "CLOSE_WRITE"}, {IN_ATTRIB, "ATTRIB"},         {IN_MOVED_FROM, "MOVED_FROM"},
	{IN_MOVED_TO, "MOVED_TO"},       {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
	{IN_IGNORED, "IGNORED"},         {IN_UNMOUNT, "UNMOUNT"},       {IN_Q_OVERFLOW, "OVERFLOW"},
	{IN_ISDIR, "ISDIR"},
};

static void print(const struct inotify_event *event)
{
	const char *separator = " ";

	printf("%d", event->wd);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!(event->mask & names[i].bit))
			continue;
		printf("%s%s", separator, names[i].name);
		separator = ",";
	}
	printf(" %s", event->len ? event->name : "");
	/* Both halves of a move have the same cookie: the first shows whether the second was its own. */
	static unsigned cookie;
	if (event->mask & IN_MOVED_TO)
		printf(event->cookie == cookie ? " (moved here)" : " (moved in)");
	if (event->mask & IN_MOVED_FROM)
		cookie = event->cookie;
	printf("\n");
}

int main(int argc, char **argv)
{
	char buffer[65536] __attribute__((aligned(8)));
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		return perror("inotify_init1"), 1;
	for (int i = 1; i < argc; i++) {
		if (inotify_add_watch(fd, argv[i], KINDS) < 0)
			return perror(argv[i]), 1;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd polls[] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};

		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (polls[1].revents)
			return 0;
		if (!polls[0].revents)
			continue;
		ssize_t got = read(fd, buffer, sizeof buffer);
		for (char *at = buffer; got > 0 && at < buffer + got;) {
			struct inotify_event *event = (struct inotify_event *)at;
			print(event);
			at += sizeof *event + event->len;
		}
		fflush(stdout);
	}
}
