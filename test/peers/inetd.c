/*
 * inetd PORT PROGRAM [ARGUMENT]...: runs PROGRAM for each connection to
 * 127.0.0.1:PORT with the socket as its standard input and output. It gives
 * sshfs' directport a bare sftp-server, without ssh and without a relay.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (argc < 3) {
		fprintf(stderr, "Usage: inetd PORT PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 16)) {
		perror("inetd: cannot listen");
		return 1;
	}
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		if (connection < 0)
			continue;
		setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0) {
			dup2(connection, 0);
			dup2(connection, 1);
			close(connection);
			execv(argv[2], argv + 2);
			_exit(127);
		}
		close(connection);
	}
}
