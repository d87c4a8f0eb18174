/* Connections: who has which lane, and what goes over it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define FDS_MAX 65536

/* What a descriptor stands for. */
struct entry {
  _Atomic(struct connection *) connection;
  _Atomic(struct listener *) listener;
};
static struct entry entries[FDS_MAX];

struct connection *connection_at(int fd) {
  if (fd < 0 || fd >= FDS_MAX) return NULL;
  return atomic_load_explicit(&entries[fd].connection, memory_order_acquire);
}

static int new_fd(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (fd < FDS_MAX) return fd;
  close(fd);
  return -EMFILE;
}

/* Whether nothing more comes, but for what is in the ring. */
bool connection_is_over(const struct connection *c) {
  if (c->broken || atomic_load_explicit(&c->dead, memory_order_relaxed)) return true;
  if (atomic_load_explicit(&c->gone, memory_order_relaxed)) return true;
  if (LOAD(c->peer->epoch) == c->epoch) return LOAD(c->peer->state) != QTDMA_OPEN;
  return atomic_load_explicit(&c->opened, memory_order_relaxed);
}

static bool answered(const struct connection *c) { return LOAD(c->peer->epoch) == c->epoch; }

/* Whether anything of `wants` can be done; for the bell's thread as well. */
bool connection_ready(const struct connection *c, uint32_t wants) {
  if (connection_is_over(c)) return true;
  if (!atomic_load_explicit(&c->opened, memory_order_relaxed)) return answered(c);
  if ((wants & QTDMA_DATA) && LOAD(c->peer->head) != atomic_load(&c->seen_tail)) return true;
  return (wants & QTDMA_ROOM) && LOAD(c->peer->tail) != atomic_load(&c->seen_freed);
}

/* Whether a client waits in `lane` whom the listener at `port` has not accepted. */
static bool wanted(const struct link *link, uint32_t lane, uint32_t port) {
  const struct qtdma_side *client = lane_side(link, lane, CLIENT);
  const struct qtdma_side *server = lane_side(link, lane, SERVER);
  uint32_t epoch = LOAD(client->epoch);
  return epoch != 0 && LOAD(client->state) == QTDMA_OPEN && LOAD(client->port) == port &&
         LOAD(server->epoch) != epoch;
}

/* `waits`: a client has come whose lane another connection of this side has not left. */
bool listener_ready(const struct listener *l, bool *waits) {
  const struct link *link = l->link;
  for (uint32_t lane = 0; lane < link->geometry.lanes; lane++) {
    if (!wanted(link, lane, l->port)) continue;
    bool used = link->lanes_used & (UINT32_C(1) << lane);
    if (!used && !link_is_locked(link, lane_lock(SERVER, lane))) return true;
    *waits = true;
  }
  return false;
}

/* Takes `lane` for a connection of `epoch`; the link's mutex is held. */
static struct connection *take_lane(struct link *link, uint32_t lane, uint32_t epoch) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->fd = new_fd();
  if (c->fd < 0) {
    free(c);
    return NULL;
  }
  c->link = link;
  c->lane = lane;
  c->epoch = epoch;
  c->engine = link->engine;
  c->own = lane_side(link, lane, link->side);
  c->peer = lane_side(link, lane, 1 - link->side);
  c->own_bulk = lane_bulk(link, lane, link->side);
  c->peer_bulk = lane_bulk(link, lane, 1 - link->side);
  STORE(c->own->head, 0);
  STORE(c->own->tail, 0);
  STORE(c->own->asleep, 0);
  STORE64(c->own->machine, this_machine());
  STORE(c->own->doorbell, link->device.doorbell);
  STORE(c->own->rings, link->device.registers != NULL);
  link->lanes_used |= UINT32_C(1) << lane;
  c->next = link->connections;
  link->connections = c;
  return c;
}

static void announce(struct connection *c) {
  fence_device(c->link);
  STORE(c->own->epoch, c->epoch);
  fence_device(c->link);
  STORE(c->own->state, QTDMA_OPEN);
  atomic_store(&entries[c->fd].connection, c);
}

static int listen_at(struct link *link, uint32_t port) {
  int error = link_format(link);
  if (error == 0) error = link_lock(link, LOCK_PORT + port);
  if (error != 0) return error == -EAGAIN || error == -EACCES ? -EADDRINUSE : error;
  STORE(link->header->doorbell[port], link->device.doorbell);
  /* What a process had that is no more. */
  for (uint32_t lane = 0; lane < link->geometry.lanes; lane++) {
    if (link->lanes_used & (UINT32_C(1) << lane)) continue;
    if (link_lock(link, lane_lock(SERVER, lane)) != 0) continue;
    struct qtdma_side *server = lane_side(link, lane, SERVER);
    if (LOAD(server->state) == QTDMA_OPEN) STORE(server->state, QTDMA_CLOSED);
    link_unlock(link, lane_lock(SERVER, lane));
    bell_ring(link, CLIENT, lane);
  }
  return 0;
}

int qtdma_listen(const char *path, uint32_t port, uint32_t mode) {
  if (port >= QTDMA_PORTS) return -EINVAL;
  struct link *link;
  int error = link_get(path, SERVER, true, mode, &link);
  if (error != 0) return error;
  struct listener *l = calloc(1, sizeof *l);
  pthread_mutex_lock(&link->mutex);
  /* A lock is no bar to who has it. */
  for (struct listener *other = link->listeners; other != NULL; other = other->next) {
    if (other->port == port) error = -EADDRINUSE;
  }
  if (l == NULL) error = -ENOMEM;
  if (error == 0) error = listen_at(link, port);
  if (error == 0) {
    l->fd = new_fd();
    if (l->fd < 0) {
      error = l->fd;
      link_unlock(link, LOCK_PORT + port);
    }
  }
  if (error == 0) {
    l->link = link;
    l->port = port;
    l->next = link->listeners;
    link->listeners = l;
    atomic_store(&entries[l->fd].listener, l);
  }
  pthread_mutex_unlock(&link->mutex);
  if (error != 0) {
    free(l);
    link_put(link);
    return error;
  }
  bell_changed(link);
  return l->fd;
}

/* Accepts the client of `lane`; the link's mutex is held. */
static struct connection *accept_lane(struct link *link, uint32_t lane) {
  if (link->lanes_used & (UINT32_C(1) << lane)) return NULL;
  if (link_lock(link, lane_lock(SERVER, lane)) != 0) return NULL;
  uint32_t epoch = LOAD(lane_side(link, lane, CLIENT)->epoch);
  struct connection *c = epoch == 0 ? NULL : take_lane(link, lane, epoch);
  if (c == NULL) {
    link_unlock(link, lane_lock(SERVER, lane));
    return NULL;
  }
  atomic_store(&c->opened, true);
  announce(c);
  return c;
}

int qtdma_accept(int fd) {
  struct listener *l = fd < 0 || fd >= FDS_MAX ? NULL : atomic_load(&entries[fd].listener);
  if (l == NULL) return -EBADF;
  struct link *link = l->link;
  drain_fd(l->fd, &l->signalled);
  struct connection *c = NULL;
  pthread_mutex_lock(&link->mutex);
  for (uint32_t lane = 0; lane < link->geometry.lanes && c == NULL; lane++) {
    if (wanted(link, lane, l->port)) c = accept_lane(link, lane);
  }
  if (c != NULL) link_share(link);
  int result = c == NULL ? -EAGAIN : c->fd;
  uint32_t lane = c == NULL ? 0 : c->lane;
  pthread_mutex_unlock(&link->mutex);
  if (result < 0) return result;
  /* There may be more of them. */
  signal_fd(l->fd, &l->signalled);
  bell_ring(link, CLIENT, lane);
  bell_changed(link);
  return result;
}

/* Finds a lane; rather one that no server looks at any more. */
static struct connection *claim_lane(struct link *link, bool any) {
  for (uint32_t lane = 0; lane < link->geometry.lanes; lane++) {
    if (link->lanes_used & (UINT32_C(1) << lane)) continue;
    struct qtdma_side *server = lane_side(link, lane, SERVER);
    if (!any && LOAD(server->state) == QTDMA_OPEN) continue;
    if (link_lock(link, lane_lock(CLIENT, lane)) != 0) continue;
    struct qtdma_side *client = lane_side(link, lane, CLIENT);
    uint32_t epoch = LOAD(client->epoch) + 1;
    while (epoch == 0 || epoch == LOAD(server->epoch)) epoch++;
    STORE(client->state, QTDMA_NONE);
    struct connection *c = take_lane(link, lane, epoch);
    if (c != NULL) return c;
    link_unlock(link, lane_lock(CLIENT, lane));
  }
  return NULL;
}

int qtdma_connect(const char *path, uint32_t port) {
  if (port >= QTDMA_PORTS) return -EINVAL;
  struct link *link;
  int error = link_get(path, CLIENT, false, 0, &link);
  if (error != 0) return error;
  bool here = LOAD64(link->header->machine) == this_machine();
  if (!link_is_valid(link) || (here && !link_is_locked(link, LOCK_PORT + port))) {
    link_put(link);
    return -ECONNREFUSED;
  }
  pthread_mutex_lock(&link->mutex);
  struct connection *c = claim_lane(link, false);
  if (c == NULL) c = claim_lane(link, true);
  if (c != NULL) {
    STORE(c->own->port, port);
    announce(c);
  }
  int result = c == NULL ? -EAGAIN : c->fd;
  pthread_mutex_unlock(&link->mutex);
  if (result < 0) {
    link_put(link);
    return result;
  }
  bell_ring_listener(link, port);
  bell_changed(link);
  return result;
}

int qtdma_outcome(int fd) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  drain_fd(c->fd, &c->signalled);
  if (atomic_load(&c->opened)) return connection_is_over(c) ? -ECONNRESET : 0;
  if (atomic_load(&c->dead) || atomic_load(&c->gone)) return -ECONNRESET;
  if (!link_is_valid(c->link)) return -ECONNRESET;
  if (!answered(c)) return -EINPROGRESS;
  atomic_store(&c->opened, true);
  return 0;
}

int qtdma_ready(int fd, uint32_t wants, int sleeps) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  bool opened = atomic_load_explicit(&c->opened, memory_order_relaxed);
  bool ready = connection_ready(c, wants) || (opened && (wants & QTDMA_ROOM) && has_room(c));
  if (!ready && sleeps) {
    /* Shown first, then looked at again: whoever comes between sees it and rings. */
    c->shows_sleep = true;
    STORE(c->own->asleep, (++c->sleeps << 2) | wants);
    atomic_store(&c->armed, wants);
    FENCE();
    ready = connection_ready(c, wants);
    if (!ready && !bell_is_heard(c)) bell_changed(c->link);
  }
  if (ready) signal_fd(c->fd, &c->signalled);
  return ready;
}

static int close_listener(struct listener *l) {
  struct link *link = l->link;
  pthread_mutex_lock(&link->mutex);
  struct listener **at = &link->listeners;
  while (*at != l) at = &(*at)->next;
  *at = l->next;
  atomic_store(&entries[l->fd].listener, NULL);
  link_unlock(link, LOCK_PORT + l->port);
  pthread_mutex_unlock(&link->mutex);
  close(l->fd);
  free(l);
  link_put(link);
  return 0;
}

int qtdma_close(int fd) {
  if (fd < 0 || fd >= FDS_MAX) return -EBADF;
  struct listener *l = atomic_load(&entries[fd].listener);
  if (l != NULL) return close_listener(l);
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  struct link *link = c->link;
  pthread_mutex_lock(&link->mutex);
  struct connection **at = &link->connections;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  atomic_store(&entries[fd].connection, NULL);
  if (!atomic_load(&c->gone)) {
    fence_device(link);
    STORE(c->own->state, QTDMA_CLOSED);
    bell_ring(link, 1 - link->side, c->lane);
  }
  link->lanes_used &= ~(UINT32_C(1) << c->lane);
  link_unlock(link, lane_lock(link->side, c->lane));
  pthread_mutex_unlock(&link->mutex);
  close(fd);
  free(c);
  bell_changed(link);
  link_put(link);
  return 0;
}
