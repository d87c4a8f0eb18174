/*
 * Bells: how one side wakes the other, and the thread that is woken. Between processes of one
 * machine a futex in the link's header does it, between machines an interrupt (VFIO) where the
 * device has any; else nothing but looking is left: often while there was something to do
 * lately, then ever more seldom.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define NS_PER_S INT64_C(1000000000)
#define BEAT_NS NS_PER_S
/* How often a listener looks for clients who cannot wake it. */
#define STRANGERS_NS INT64_C(100000000)
/* How soon a lane is looked at again that another process of this side has not left yet. */
#define LOOK_MIN_NS INT64_C(50000)
#define LOOK_MAX_NS INT64_C(4000000)
/* Of the time since there was something, the part to wait until the next look. */
#define LOOK_PART 16
/* Seconds without a beat after which another machine counts as gone. */
#define SILENT_MAX 10

static void ring_futex(uint32_t *bell, uint32_t bits) {
  atomic_fetch_add((_Atomic uint32_t *)bell, 1);
  syscall(SYS_futex, bell, FUTEX_WAKE_BITSET, INT32_MAX, NULL, NULL, bits);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/*
 * The flag says that a read is worth it. It is set after the write and taken back before the
 * read: of all orders that two threads can have, none leaves the descriptor readable for ever.
 */
void signal_fd(int fd, _Atomic bool *signalled) {
  uint64_t one = 1;
  while (write(fd, &one, sizeof one) < 0 && errno == EINTR) continue;
  atomic_store(signalled, true);
}

void drain_fd(int fd, _Atomic bool *signalled) {
  uint64_t count;
  if (!atomic_load_explicit(signalled, memory_order_relaxed)) return;
  atomic_store(signalled, false);
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR) continue;
}

/* Wakes who sleeps on `side` for a lane. */
void bell_ring(const struct link *link, int side, uint32_t lane) {
  if (!link->is_file) {
    fence_device(link);
    device_ring(&link->device, LOAD(lane_side(link, lane, side)->doorbell));
    return;
  }
  ring_futex(&link->header->bell[side][0], UINT32_C(1) << lane);
}

/* Wakes who listens at `port`. */
void bell_ring_listener(const struct link *link, uint32_t port) {
  if (link->is_file) ring_futex(&link->header->bell[SERVER][0], UINT32_C(1) << LISTENERS_BIT);
  else device_ring(&link->device, LOAD(link->header->doorbell[port]));
}

/* Has the thread look at what there is now; it may wait for none of that yet. */
void bell_changed(struct link *link) {
  uint64_t one = 1;
  if (link->is_file) ring_futex(&link->header->bell[link->side][0], UINT32_MAX);
  else while (write(link->changes, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void wait_for_futex(struct link *link, uint32_t seen, uint32_t lanes, int64_t until_ns) {
  struct timespec until = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
  uint32_t *bell = &link->header->bell[link->side][0];
  long result = syscall(SYS_futex, bell, FUTEX_WAIT_BITSET, seen, &until, NULL, lanes);
  /* A file system without futexes: the memory is a device's after all. */
  if (result != 0 && errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) {
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
}

/* Of a device: until it interrupts, the kernel wants it back, or something here has changed. */
static void wait_for_device(struct link *link, int64_t until_ns) {
  struct device *d = &link->device;
  struct pollfd fds[3] = {{.fd = link->changes, .events = POLLIN},
                          {.fd = d->interrupt, .events = POLLIN},
                          {.fd = d->wanted_back, .events = POLLIN}};
  int64_t left = until_ns - now_ns();
  struct timespec most = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
  if (left <= 0 || ppoll(fds, 3, &most, NULL) <= 0) return;
  uint64_t count;
  for (int i = 0; i < 2; i++) {
    if (fds[i].revents != 0 && read(fds[i].fd, &count, sizeof count) < 0) continue;
  }
  if (fds[2].revents != 0) atomic_store(&link->is_gone, true);
}

/* Whether the peer can wake this side; else it has to be looked at. */
bool bell_is_heard(const struct connection *c) {
  bool opened = atomic_load_explicit(&c->opened, memory_order_relaxed);
  if (!c->link->is_file) return opened && c->link->device.doorbell != 0 && LOAD(c->peer->rings) != 0;
  uint64_t machine = opened ? LOAD64(c->peer->machine) : LOAD64(c->link->header->machine);
  return machine == this_machine();
}

/* Once a second: says that this side lives, and looks whether the other one does. */
static void beat(struct connection *c) {
  STORE(c->own->beat, LOAD(c->own->beat) + 1);
  uint32_t seen = LOAD(c->peer->beat);
  c->silent = seen == c->beat ? c->silent + 1 : 0;
  c->beat = seen;
  bool is_here = c->link->is_file && atomic_load(&c->opened) && bell_is_heard(c);
  bool lost = is_here ? !link_is_locked(c->link, lane_lock(1 - c->link->side, c->lane))
                      : c->silent > SILENT_MAX;
  if (lost) atomic_store(&c->dead, true);
}

/* Once a second, and when the device is wanted back: connections end with their memory. */
static void look_after_memory(struct link *link) {
  if (link_is_valid(link) && !atomic_load(&link->is_gone) && !link_is_elsewhere(link)) return;
  /* Nobody listens yet: it is not laid out. */
  if (link->connections == NULL && link->listeners == NULL) return;
  atomic_store(&link->is_gone, true);
  for (struct connection *c = link->connections; c != NULL; c = c->next) {
    atomic_store(&c->gone, true);
    atomic_store(&c->armed, 0);
    signal_fd(c->fd, &c->signalled);
  }
  device_release(&link->device);
  if (link->listeners != NULL) link_attach_again(link);
}

/* Sees what there is to do for whom; returns whether some have to be looked at again soon. */
static bool look(struct link *link, bool beats, bool *found) {
  bool soon = false;
  for (struct connection *c = link->connections; c != NULL; c = c->next) {
    if (beats) beat(c);
    uint32_t armed = atomic_load(&c->armed);
    if (armed == 0) continue;
    if (connection_ready(c, armed)) {
      atomic_store(&c->armed, 0);
      signal_fd(c->fd, &c->signalled);
      *found = true;
    } else if (!bell_is_heard(c)) {
      soon = true;
    }
  }
  for (struct listener *l = link->listeners; l != NULL; l = l->next) {
    bool waits = false;
    if (listener_ready(l, &waits)) {
      signal_fd(l->fd, &l->signalled);
      *found = true;
    }
    if (waits) soon = true;
  }
  return soon;
}

static void *run(void *argument) {
  struct link *link = argument;
  int64_t next_beat = now_ns() + BEAT_NS;
  int64_t busy = now_ns();
  while (true) {
    uint32_t seen = LOAD(link->header->bell[link->side][0]);
    pthread_mutex_lock(&link->mutex);
    if (link->stops) break;
    int64_t now = now_ns();
    bool beats = now >= next_beat;
    if (beats) next_beat = now + BEAT_NS;
    if (beats || atomic_load(&link->is_gone)) look_after_memory(link);
    bool found = false;
    bool soon = look(link, beats, &found);
    uint32_t lanes = link->lanes_used;
    if (link->listeners != NULL || lanes == 0) lanes |= UINT32_C(1) << LISTENERS_BIT;
    bool listens = link->listeners != NULL;
    pthread_mutex_unlock(&link->mutex);
    if (found) busy = now;
    int64_t until = next_beat;
    if (listens && until > now + STRANGERS_NS) until = now + STRANGERS_NS;
    if (soon) {
      int64_t wait = (now - busy) / LOOK_PART;
      wait = wait < LOOK_MIN_NS ? LOOK_MIN_NS : wait > LOOK_MAX_NS ? LOOK_MAX_NS : wait;
      if (until > now + wait) until = now + wait;
    }
    if (link->is_file) wait_for_futex(link, seen, lanes, until);
    else wait_for_device(link, until);
  }
  pthread_mutex_unlock(&link->mutex);
  return NULL;
}

/* Starts the thread, to which no signal is given. */
int bell_begin(struct link *link) {
  sigset_t all, old;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGSEGV);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = pthread_create(&link->thread, NULL, run, link);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  link->has_thread = error == 0;
  /* Seen in ps -T. */
  if (error == 0) pthread_setname_np(link->thread, "qtfs-bell");
  return -error;
}

void bell_end(struct link *link) {
  if (link->has_thread) pthread_join(link->thread, NULL);
}
