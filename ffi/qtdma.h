/*
 * qtdma: connections over memory that two sides share: a PCI device's BAR, or a file.
 *
 * A link is such memory, cut into lanes; a lane is one connection at a time, a stream of
 * bytes each way. Every word is written by one side alone, so nothing is needed of the bus
 * but that stores are seen in their order. The other side is not trusted: what it has written
 * is copied before it is looked at, indices are compared with what they can be, offsets are
 * cut to the area, and who breaks a rule loses the connection.
 *
 * Connections and listeners are known by a descriptor, an eventfd, that is readable while
 * there is something to do, as long as qtdma_ready() is called before waiting for it.
 * One thread at a time may use a connection. Results are counts, or -errno.
 */
#ifndef QTDMA_H
#define QTDMA_H

#include <stdint.h>

#define QTDMA_API __attribute__((visibility("default")))

#define QTDMA_MAGIC UINT64_C(0x31414d4453465451) /* "QTFSDMA1" */
#define QTDMA_VERSION 1u
#define QTDMA_PORTS 16u
/* Bits of a futex: one is for listeners. */
#define QTDMA_LANES_MAX 31u
#define QTDMA_RING 64u
#define QTDMA_PAGE 4096u
#define QTDMA_BULK_MIN (64u << 10)
#define QTDMA_BULK_MAX (4u << 20)
/* Size of a file that a listener makes. */
#define QTDMA_FILE_BYTES (256u << 20)

/* What a connection waits for (qtdma_ready). */
enum { QTDMA_DATA = 1, QTDMA_ROOM = 2 };

/* A piece of the sender's bulk area. The tag is made of connection and index. */
struct qtdma_descriptor {
  uint32_t offset;
  uint32_t length;
  uint32_t tag;
  uint32_t reserved;
};

/* What one side of a lane writes, and the other reads. Indices count and are never wrapped. */
struct qtdma_side {
  uint32_t epoch; /* which connection of the lane; never 0 */
  uint32_t state; /* QTDMA_NONE, _OPEN, _CLOSED */
  uint32_t port;  /* the client's: which listener it wants */
  uint32_t beat;  /* changes every second */
  uint64_t machine;
  uint32_t doorbell; /* of ivshmem, what interrupts it; 0: it looks by itself */
  uint32_t rings;    /* whether it can interrupt who has such a number */
  uint8_t pad0[32];
  uint32_t head; /* descriptors it has filled */
  uint8_t pad1[60];
  uint32_t tail; /* descriptors of the other side that it has emptied */
  uint8_t pad2[60];
  uint32_t asleep; /* QTDMA_DATA and _ROOM, above them a count of sleeps */
  uint8_t pad3[828];
  struct qtdma_descriptor ring[QTDMA_RING];
  uint8_t pad4[QTDMA_PAGE - 2048];
};
enum { QTDMA_NONE = 0, QTDMA_OPEN = 1, QTDMA_CLOSED = 2 };

/* The first page; lanes follow, each the client's page, the server's, and their bulk areas. */
struct qtdma_header {
  uint64_t magic;
  uint32_t version;
  uint32_t lanes;
  uint32_t bulk;
  uint32_t ring;
  uint64_t machine; /* of the listeners */
  uint8_t pad0[32];
  uint32_t bell[2][16]; /* futexes of the client's and the server's side */
  uint32_t doorbell[QTDMA_PORTS]; /* of the listeners */
};

/* An engine copies between this machine's memory and the link's: 0, or -errno (-EAGAIN: by CPU). */
struct qtdma_engine {
  const char *name;
  int (*to_link)(void *state, volatile void *to, const void *from, uint64_t bytes);
  int (*from_link)(void *state, void *to, const volatile void *from, uint64_t bytes);
  /* A link's memory comes, and goes; it is not copied to or from where that failed. May be NULL. */
  int (*attach)(void *state, void *memory, uint64_t bytes);
  void (*detach)(void *state, void *memory);
  void *state;
  /* Copies below this size are the CPU's. */
  uint64_t least;
};
extern const struct qtdma_engine qtdma_cpu;
/* Copies of all links made from now on go by `engine`, which must stay. */
QTDMA_API void qtdma_use(const struct qtdma_engine *engine);
/* That is QEMU's edu device in the directory `path` of sysfs, which is vfio-pci's: 0, or -errno. */
QTDMA_API int qtdma_use_edu(const char *path);

/*
 * Listens at `port` of the link in `path`: a file, which is made where there is none, a
 * device's resourceN, or a device's directory (its BAR 2). -EADDRINUSE: another does.
 */
QTDMA_API int qtdma_listen(const char *path, uint32_t port, uint32_t mode);
/* The next connection; -EAGAIN where nobody has come. */
QTDMA_API int qtdma_accept(int listener);
/* Begins a connection. -ECONNREFUSED: nobody listens; -EAGAIN: all lanes are in use. */
QTDMA_API int qtdma_connect(const char *path, uint32_t port);
/* 0 once it stands, -EINPROGRESS before, -ECONNRESET when it has ended. */
QTDMA_API int qtdma_outcome(int connection);

/* Bytes taken, at least 1; 0 at the end; -EAGAIN; -EPROTO after the peer broke a rule. */
QTDMA_API int64_t qtdma_receive(int connection, void *to, uint64_t max);
/* Bytes sent of `a`, then of `b`; -EAGAIN where there is no room; -EPIPE, -EPROTO. */
QTDMA_API int64_t qtdma_send(int connection, const void *a, uint64_t na, const void *b,
                             uint64_t nb);
/* The same of a file; 0 at its end. Errors of the file are told as they are. */
QTDMA_API int64_t qtdma_send_file(int connection, int file, uint64_t offset, uint64_t length);
/* Bytes that the peer has not taken. */
QTDMA_API int64_t qtdma_unsent(int connection);
/*
 * Makes the descriptor readable if anything of `wants` is so; with `sleeps` it will become
 * readable when that happens. Returns whether it is readable.
 */
QTDMA_API int qtdma_ready(int connection, uint32_t wants, int sleeps);

/*
 * A socket that stands for the connection, which is not the caller's any more: one that can be
 * given to other processes. A thread of this process carries the bytes.
 */
QTDMA_API int qtdma_relay(int connection);

/* Ends a connection or a listener, and closes its descriptor. */
QTDMA_API int qtdma_close(int fd);

#endif
