/* What the files of qtdma share. */
#ifndef QTDMA_INNER_H
#define QTDMA_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "qtdma.h"
#include "qtdma_vfio.h"

enum { CLIENT = 0, SERVER = 1 };

/* A piece of the bulk area that the peer has not emptied yet, as this side remembers it. */
struct piece {
  uint32_t length;
};

struct connection {
  struct connection *next;
  struct link *link;
  const struct qtdma_engine *engine;
  uint32_t lane;
  uint32_t epoch;
  int fd;
  struct qtdma_side *own;
  struct qtdma_side *peer;
  uint8_t *own_bulk;
  const uint8_t *peer_bulk;

  /* Sending: descriptors filled, emptied by the peer, and bytes likewise. */
  uint32_t head;
  uint32_t freed;
  uint64_t put;
  uint64_t taken;
  struct piece pieces[QTDMA_RING];
  /* The sleep of the peer that it was woken from for data, and what had been filled then. */
  uint32_t rung;
  uint32_t rung_head;

  /* Receiving: descriptors emptied, the one at hand, and how much of it is taken. */
  uint32_t tail;
  struct qtdma_descriptor at_hand;
  uint32_t at_hand_taken;
  bool has_at_hand;

  uint32_t sleeps;
  bool shows_sleep;
  bool broken;
  /* Shared with the bell's thread. */
  _Atomic uint32_t armed;
  _Atomic bool signalled;
  _Atomic bool dead;
  /* The memory it was in is gone: what is there now is not its own. */
  _Atomic bool gone;
  _Atomic bool opened;
  _Atomic uint32_t seen_tail;
  _Atomic uint32_t seen_freed;
  uint32_t beat;
  uint32_t silent;
};

struct listener {
  struct listener *next;
  struct link *link;
  uint32_t port;
  int fd;
  _Atomic bool signalled;
};

/* What of a link is a PCI device's, beside its memory. */
struct device {
  struct vfio vfio;
  /* ivshmem's registers; NULL where there are none. */
  volatile uint32_t *registers;
  /* eventfds: interrupts, and the kernel's wish to have the device back; -1 where there is none. */
  int interrupt;
  int wanted_back;
  /* What the other side writes to its register to interrupt this process; 0 where it cannot. */
  uint32_t doorbell;
};
#define DEVICE_NONE ((struct device){VFIO_CLOSED, NULL, -1, -1, 0})
/* Of ivshmem's register, and one more: 0 is none. */
#define DOORBELL_OF(position, vector) (((position) << 16 | (vector)) + 1)

/* One side's view of a link; there is one for each side in a process. */
struct link {
  struct link *next;
  int side;
  /* Where it is found again; `makes` a file there, of `mode`, where there is none. */
  char *path;
  bool makes;
  uint32_t mode;
  int fd;
  uint64_t system;
  uint64_t inode;
  bool is_file;
  struct device device;
  /* Its memory has gone, and with it all connections there were. */
  _Atomic bool is_gone;
  uint8_t *map;
  uint64_t size;
  struct qtdma_header geometry;
  struct qtdma_header *header;
  /* What copies; of the CPU's where the engine cannot reach the memory. */
  const struct qtdma_engine *engine;
  pthread_mutex_t mutex;
  uint32_t users;
  uint32_t lanes_used;
  struct connection *connections;
  struct listener *listeners;
  pthread_t thread;
  bool has_thread;
  bool stops;
  /* Wakes the thread where the link's memory has no futex: an eventfd. */
  int changes;
};

#define LOAD(word) atomic_load_explicit((_Atomic uint32_t *)&(word), memory_order_acquire)
#define STORE(word, value) \
  atomic_store_explicit((_Atomic uint32_t *)&(word), (value), memory_order_release)
#define LOAD64(word) atomic_load_explicit((_Atomic uint64_t *)&(word), memory_order_acquire)
#define STORE64(word, value) \
  atomic_store_explicit((_Atomic uint64_t *)&(word), (value), memory_order_release)
#define FENCE() atomic_thread_fence(memory_order_seq_cst)

/*
 * What a device's memory, which is mapped write-combining (x86-64) or uncached (arm64), sees and
 * shows in order; the processors' caches do not order it (Intel SDM volume 3, memory ordering of
 * WC; Linux: Documentation/memory-barriers.txt, dma_mb). A file's memory is as other memory.
 */
static inline void fence_device(const struct link *link) {
  if (link->is_file) return;
#if defined(__x86_64__)
  __builtin_ia32_mfence();
#elif defined(__aarch64__)
  __asm__ volatile("dmb osh" ::: "memory");
#else
#error "which instruction orders a device's memory?"
#endif
}

/* Ranges of the link's file that are locked, one byte each (OFD locks). */
enum { LOCK_FORMAT = 1, LOCK_LANE = 1024, LOCK_PORT = 4096 };

/* qtdma_map.c */
int watch_mapping(void *start, uint64_t size);
void forget_mapping(void *start);
bool pull_mapping(void *start, uint64_t size);

/* qtdma_device.c */
int device_open(const char *path, struct device *d);
void device_ring(const struct device *d, uint32_t doorbell);
void device_release(struct device *d);
void device_move(struct device *to, struct device *from);
void device_close(struct device *d);

/* qtdma_link.c */
int link_get(const char *path, int side, bool makes, uint32_t mode, struct link **result);
void link_share(struct link *link);
void link_put(struct link *link);
bool link_is_elsewhere(const struct link *link);
bool link_attach_again(struct link *link);
int link_format(struct link *link);
bool link_is_valid(const struct link *link);
int link_lock(const struct link *link, uint32_t at);
void link_unlock(const struct link *link, uint32_t at);
bool link_is_locked(const struct link *link, uint32_t at);
uint64_t this_machine(void);
uint32_t lane_lock(int side, uint32_t lane);
struct qtdma_side *lane_side(const struct link *link, uint32_t lane, int side);
uint8_t *lane_bulk(const struct link *link, uint32_t lane, int side);

/* qtdma_bell.c */
void bell_ring(const struct link *link, int side, uint32_t lane);
void bell_ring_listener(const struct link *link, uint32_t port);
bool bell_is_heard(const struct connection *connection);
int bell_begin(struct link *link);
void bell_end(struct link *link);
void bell_changed(struct link *link);
void signal_fd(int fd, _Atomic bool *signalled);
void drain_fd(int fd, _Atomic bool *signalled);

/* qtdma.c */
struct connection *connection_at(int fd);
bool connection_ready(const struct connection *connection, uint32_t wants);
bool connection_is_over(const struct connection *connection);
bool listener_ready(const struct listener *listener, bool *waits);

/* qtdma_flow.c */
const struct qtdma_engine *engine_in_use(void);
bool has_room(const struct connection *connection);

#define LISTENERS_BIT 31u

#endif
