/* What goes over a connection: bytes, by descriptors of pieces of the bulk areas. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "qtdma_inner.h"

/* Pieces are small enough for both sides to copy at the same time. */
#define PIECE_MAX (64u << 10)

static int cpu_to_link(void *state, volatile void *to, const void *from, uint64_t bytes) {
  (void)state;
  memcpy((void *)to, from, bytes);
  return 0;
}

static int cpu_from_link(void *state, void *to, const volatile void *from, uint64_t bytes) {
  (void)state;
  memcpy(to, (const void *)from, bytes);
  return 0;
}

const struct qtdma_engine qtdma_cpu = {"cpu", cpu_to_link, cpu_from_link, NULL, NULL, NULL, 0};
static _Atomic(const struct qtdma_engine *) engine = &qtdma_cpu;

void qtdma_use(const struct qtdma_engine *chosen) { atomic_store(&engine, chosen); }
const struct qtdma_engine *engine_in_use(void) { return atomic_load(&engine); }

/* An engine may decline; then the CPU copies. */
static void copy_out(const struct connection *c, uint8_t *to, const void *from, uint64_t bytes) {
  const struct qtdma_engine *e = c->engine;
  bool asked = e != &qtdma_cpu && bytes >= e->least;
  if (!asked || e->to_link(e->state, to, from, bytes) != 0) cpu_to_link(NULL, to, from, bytes);
}

static void copy_in(const struct connection *c, void *to, const uint8_t *from, uint64_t bytes) {
  const struct qtdma_engine *e = c->engine;
  bool asked = e != &qtdma_cpu && bytes >= e->least;
  if (!asked || e->from_link(e->state, to, from, bytes) != 0) cpu_from_link(NULL, to, from, bytes);
}

static int64_t broke(struct connection *c) {
  if (atomic_load(&c->gone)) return -EPIPE;
  c->broken = true;
  STORE(c->own->state, QTDMA_CLOSED);
  return -EPROTO;
}

static uint32_t tag_of(const struct connection *c, uint32_t index) {
  return (c->epoch * UINT32_C(0x9e3779b1)) ^ index;
}

/* This side is awake. */
static void wake_up(struct connection *c) {
  drain_fd(c->fd, &c->signalled);
  if (!c->shows_sleep) return;
  c->shows_sleep = false;
  atomic_store(&c->armed, 0);
  STORE(c->own->asleep, 0);
}

/*
 * Wakes the peer, if it sleeps and waits for `what`. For data once is enough, unless it had emptied
 * what it was woken for and fell asleep only then: it went on sleeping.
 */
static void wake_peer(struct connection *c, uint32_t what) {
  FENCE();
  uint32_t asleep = LOAD(c->peer->asleep);
  if ((asleep & what) == 0) return;
  if (what == QTDMA_DATA) {
    uint32_t ahead = c->rung_head - LOAD(c->peer->tail);
    if (asleep == c->rung && ahead - 1 < QTDMA_RING) return;
    c->rung = asleep;
    c->rung_head = c->head;
  }
  bell_ring(c->link, 1 - c->link->side, c->lane);
}

/* Copies the next descriptor and checks it; false where the peer broke a rule. */
static bool take_descriptor(struct connection *c) {
  const struct qtdma_descriptor *there = &c->peer->ring[c->tail % QTDMA_RING];
  uint32_t bulk = c->link->geometry.bulk;
  c->at_hand.offset = LOAD(there->offset);
  c->at_hand.length = LOAD(there->length);
  if (LOAD(there->tag) != tag_of(c, c->tail) || c->at_hand.offset >= bulk) return false;
  if (c->at_hand.length == 0 || c->at_hand.length > bulk - c->at_hand.offset) return false;
  c->at_hand_taken = 0;
  c->has_at_hand = true;
  return true;
}

int64_t qtdma_receive(int fd, void *to, uint64_t max) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  wake_up(c);
  if (c->broken) return -EPROTO;
  if (atomic_load_explicit(&c->gone, memory_order_relaxed)) return 0;
  /* Before the ring: what was filled before the end is still to be had. */
  bool over = connection_is_over(c);
  if (over) fence_device(c->link);
  if (LOAD(c->peer->epoch) != c->epoch) return over ? 0 : -EAGAIN;
  uint32_t filled = LOAD(c->peer->head) - c->tail;
  if (filled > QTDMA_RING) return over ? 0 : broke(c);
  uint32_t first = c->tail;
  uint64_t got = 0;
  if (filled > 0) fence_device(c->link);
  while (filled > 0 && got < max) {
    if (!c->has_at_hand && !take_descriptor(c)) return broke(c);
    uint64_t left = c->at_hand.length - c->at_hand_taken;
    uint64_t n = left < max - got ? left : max - got;
    copy_in(c, (uint8_t *)to + got, c->peer_bulk + c->at_hand.offset + c->at_hand_taken, n);
    got += n;
    c->at_hand_taken += (uint32_t)n;
    if (n < left) break;
    c->has_at_hand = false;
    filled--;
    atomic_store_explicit(&c->seen_tail, ++c->tail, memory_order_relaxed);
    fence_device(c->link);
    STORE(c->own->tail, c->tail);
  }
  if (c->tail != first) wake_peer(c, QTDMA_ROOM);
  if (got > 0) return (int64_t)got;
  return over ? 0 : -EAGAIN;
}

/* Sees what the peer has emptied; false where it cannot have. */
static bool free_pieces(struct connection *c) {
  uint32_t tail = LOAD(c->peer->tail);
  if (tail - c->freed > c->head - c->freed) return false;
  for (; c->freed != tail; c->freed++) c->taken += c->pieces[c->freed % QTDMA_RING].length;
  atomic_store_explicit(&c->seen_freed, tail, memory_order_relaxed);
  /* All of it is free: what was used last is in the caches still. */
  if (c->freed == c->head) c->put = c->taken = 0;
  return true;
}

/* Bytes that can be put at once, in one piece. */
static uint64_t room(const struct connection *c) {
  uint64_t bulk = c->link->geometry.bulk;
  if (c->head - c->freed == QTDMA_RING) return 0;
  uint64_t free = bulk - (c->put - c->taken);
  uint64_t to_end = bulk - c->put % bulk;
  uint64_t least = free < to_end ? free : to_end;
  return least < PIECE_MAX ? least : PIECE_MAX;
}

bool has_room(const struct connection *c) { return room(c) > 0; }

/* The piece of `length` bytes at the end is filled: it is the peer's. */
static void pass_on(struct connection *c, uint32_t length) {
  struct qtdma_descriptor *there = &c->own->ring[c->head % QTDMA_RING];
  STORE(there->offset, (uint32_t)(c->put % c->link->geometry.bulk));
  STORE(there->length, length);
  STORE(there->tag, tag_of(c, c->head));
  c->pieces[c->head % QTDMA_RING].length = length;
  c->put += length;
  fence_device(c->link);
  STORE(c->own->head, ++c->head);
  wake_peer(c, QTDMA_DATA);
}

/* Before sending: 0, or why nothing can be sent. */
static int64_t may_send(struct connection *c) {
  wake_up(c);
  if (c->broken) return -EPROTO;
  if (connection_is_over(c)) return -EPIPE;
  if (!atomic_load_explicit(&c->opened, memory_order_relaxed)) return -EAGAIN;
  return free_pieces(c) ? 0 : broke(c);
}

int64_t qtdma_send(int fd, const void *a, uint64_t na, const void *b, uint64_t nb) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  int64_t error = may_send(c);
  if (error != 0) return error;
  uint64_t sent = 0;
  while (sent < na + nb) {
    uint64_t n = room(c);
    /* The peer may have emptied some meanwhile. */
    if (n == 0 && !free_pieces(c)) return broke(c);
    if (n == 0) n = room(c);
    if (n == 0) break;
    if (n > na + nb - sent) n = na + nb - sent;
    uint8_t *to = c->own_bulk + c->put % c->link->geometry.bulk;
    uint64_t of_a = sent >= na ? 0 : n < na - sent ? n : na - sent;
    if (of_a > 0) copy_out(c, to, (const uint8_t *)a + sent, of_a);
    if (n > of_a) copy_out(c, to + of_a, (const uint8_t *)b + (sent + of_a - na), n - of_a);
    pass_on(c, (uint32_t)n);
    sent += n;
  }
  return sent > 0 || na + nb == 0 ? (int64_t)sent : -EAGAIN;
}

int64_t qtdma_send_file(int fd, int file, uint64_t offset, uint64_t length) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  int64_t error = may_send(c);
  if (error != 0) return error;
  uint64_t sent = 0;
  while (sent < length) {
    uint64_t n = room(c);
    if (n == 0 && !free_pieces(c)) return broke(c);
    if (n == 0) n = room(c);
    if (n == 0) return sent > 0 ? (int64_t)sent : -EAGAIN;
    if (n > length - sent) n = length - sent;
    uint8_t *to = c->own_bulk + c->put % c->link->geometry.bulk;
    ssize_t got = pread(file, to, n, (off_t)(offset + sent));
    /* Not the file, but the link's memory is gone. */
    if (got < 0 && errno == EFAULT) return broke(c);
    if (got < 0 && sent == 0) return -errno;
    if (got <= 0) break;
    pass_on(c, (uint32_t)got);
    sent += (uint64_t)got;
  }
  return (int64_t)sent;
}

int64_t qtdma_unsent(int fd) {
  struct connection *c = connection_at(fd);
  if (c == NULL) return -EBADF;
  if (atomic_load(&c->gone)) return 0;
  if (!free_pieces(c)) return broke(c);
  return (int64_t)(c->put - c->taken);
}
