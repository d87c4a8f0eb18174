/* A connection as a socket, for those who must give it to another process. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define BUFFER_BYTES (64u << 10)

struct buffer {
  uint64_t at;
  uint64_t end;
  bool is_over;
  uint8_t bytes[BUFFER_BYTES];
};

struct relay {
  int connection;
  int socket;
  struct buffer in;
  struct buffer out;
};

static bool is_empty(const struct buffer *b) { return b->at == b->end; }

static int64_t from_socket(struct relay *r, struct buffer *b) {
  ssize_t got = recv(r->socket, b->bytes, BUFFER_BYTES, MSG_DONTWAIT);
  return got < 0 ? -errno : got;
}

static int64_t to_socket(struct relay *r, const struct buffer *b) {
  ssize_t sent = send(r->socket, b->bytes + b->at, b->end - b->at, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -errno : sent;
}

/* Fills the buffer where it is empty; whether anything came of it. */
static bool filled(struct buffer *b, int64_t got) {
  if (got == -EAGAIN || got == -EINTR) return false;
  if (got <= 0) {
    b->is_over = true;
  } else {
    b->at = 0;
    b->end = (uint64_t)got;
  }
  return true;
}

static bool emptied(struct buffer *b, int64_t sent) {
  if (sent == -EAGAIN || sent == -EINTR) return false;
  if (sent < 0) {
    b->at = b->end;
    b->is_over = true;
  } else {
    b->at += (uint64_t)sent;
  }
  return true;
}

/* Moves what can be moved now; false where there was nothing. */
static bool step(struct relay *r) {
  bool moved = false;
  if (is_empty(&r->in) && !r->in.is_over) {
    moved = filled(&r->in, qtdma_receive(r->connection, r->in.bytes, BUFFER_BYTES));
  }
  if (!is_empty(&r->in)) moved = emptied(&r->in, to_socket(r, &r->in)) || moved;
  if (is_empty(&r->out) && !r->out.is_over) moved = filled(&r->out, from_socket(r, &r->out)) || moved;
  if (!is_empty(&r->out)) {
    const struct buffer *b = &r->out;
    int64_t sent = qtdma_send(r->connection, b->bytes + b->at, b->end - b->at, NULL, 0);
    moved = emptied(&r->out, sent) || moved;
  }
  return moved;
}

static void sleep_for_both(struct relay *r) {
  uint32_t wants = (is_empty(&r->in) ? QTDMA_DATA : 0u) | (is_empty(&r->out) ? 0u : QTDMA_ROOM);
  int events = (is_empty(&r->out) ? POLLIN : 0) | (is_empty(&r->in) ? 0 : POLLOUT);
  struct pollfd both[2] = {{.fd = r->connection, .events = POLLIN},
                           {.fd = r->socket, .events = (short)events}};
  if (wants == 0) both[0].fd = -1;
  if (wants == 0 || !qtdma_ready(r->connection, wants, 1)) poll(both, 2, -1);
}

/* Ends with either of its ends, after what that has sent. */
static void *run(void *argument) {
  struct relay *r = argument;
  while (true) {
    bool moved = step(r);
    if ((r->in.is_over && is_empty(&r->in)) || (r->out.is_over && is_empty(&r->out))) break;
    if (!moved) sleep_for_both(r);
  }
  qtdma_close(r->connection);
  close(r->socket);
  free(r);
  return NULL;
}

int qtdma_relay(int connection) {
  int ends[2];
  if (connection_at(connection) == NULL) return -EBADF;
  struct relay *r = malloc(sizeof *r);
  if (r == NULL) return -ENOMEM;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    int error = -errno;
    free(r);
    return error;
  }
  r->connection = connection;
  r->socket = ends[1];
  r->in.at = r->in.end = r->out.at = r->out.end = 0;
  r->in.is_over = r->out.is_over = false;
  sigset_t all, old;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGSEGV);
  pthread_t thread;
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = pthread_create(&thread, NULL, run, r);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (error != 0) {
    close(ends[0]);
    close(ends[1]);
    free(r);
    return -error;
  }
  pthread_detach(thread);
  return ends[0];
}
