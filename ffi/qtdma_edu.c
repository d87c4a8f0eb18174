/*
 * QEMU's educational device as an engine that copies (QEMU docs: specs/edu): it moves pages
 * between the machine's memory and a buffer of its own, and interrupts when that is done. It takes
 * 100 ms for it: this is for tests, and shows what an engine needs: a device by VFIO, memory that
 * is mapped for it, and addresses that it can have (28 bits here).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define REGISTERS_BYTES (1u << 20)
#define BUFFER 0x40000u
/* Of its buffer of 4096 bytes, whose last one QEMU 7.2 counts as out of bounds. */
#define PIECE_BYTES 2048u
/* Registers, in words. */
enum {
  STATUS = 0x24 / 4,
  ACKNOWLEDGE = 0x64 / 4,
  SOURCE = 0x80 / 4,
  TARGET = 0x88 / 4,
  COUNT = 0x90 / 4,
  COMMAND = 0x98 / 4
};
enum { RUN = 1, TO_MEMORY = 2, INTERRUPTS = 4 };
/* Below this the CPU has long done it. */
#define LEAST_BYTES 4096u
#define DONE_MS 5000
/* Where the device finds our page, and the memory of links; both below 2^28. */
#define PAGE_ADDRESS UINT64_C(0x100000)
#define LINKS_ADDRESS UINT64_C(0x1000000)
#define ADDRESSES_END (UINT64_C(1) << 28)
#define RANGES_MAX 8

struct range {
  uint8_t *memory;
  uint64_t bytes;
  uint64_t address;
};

struct edu {
  struct vfio vfio;
  volatile uint32_t *registers;
  int done;
  uint8_t *page;
  pthread_mutex_t mutex;
  struct range ranges[RANGES_MAX];
  bool is_broken;
};

/* Moves bytes from one address to another; one of them is in the device's buffer. */
static int move(struct edu *e, uint64_t from, uint64_t to, uint64_t bytes, uint32_t direction) {
  volatile uint32_t *r = e->registers;
  uint64_t count;
  r[SOURCE] = (uint32_t)from;
  r[TARGET] = (uint32_t)to;
  r[COUNT] = (uint32_t)bytes;
  r[COMMAND] = RUN | direction | INTERRUPTS;
  struct pollfd wait = {.fd = e->done, .events = POLLIN};
  int ready = poll(&wait, 1, DONE_MS);
  while (ready < 0 && errno == EINTR) ready = poll(&wait, 1, DONE_MS);
  if (ready <= 0 || read(e->done, &count, sizeof count) < 0 || (r[COMMAND] & RUN)) return -EIO;
  r[ACKNOWLEDGE] = r[STATUS];
  return 0;
}

/* Where the device finds `memory`; 0 where it does not. */
static uint64_t address_of(const struct edu *e, const volatile void *memory, uint64_t bytes) {
  uintptr_t at = (uintptr_t)memory;
  for (int i = 0; i < RANGES_MAX; i++) {
    const struct range *range = &e->ranges[i];
    uintptr_t start = (uintptr_t)range->memory;
    if (start == 0 || at < start || bytes > range->bytes || at - start > range->bytes - bytes) continue;
    return range->address + (at - start);
  }
  return 0;
}

/* A device that has failed once is left alone. */
static int outcome(struct edu *e, int error) {
  if (error != 0 && error != -EAGAIN) e->is_broken = true;
  pthread_mutex_unlock(&e->mutex);
  return error == 0 ? 0 : -EAGAIN;
}

static int to_link(void *state, volatile void *to, const void *from, uint64_t bytes) {
  struct edu *e = state;
  pthread_mutex_lock(&e->mutex);
  uint64_t address = address_of(e, to, bytes);
  int error = address == 0 || e->is_broken ? -EAGAIN : 0;
  for (uint64_t at = 0; error == 0 && at < bytes; at += PIECE_BYTES) {
    uint64_t n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
    memcpy(e->page, (const uint8_t *)from + at, n);
    error = move(e, PAGE_ADDRESS, BUFFER, n, 0);
    if (error == 0) error = move(e, BUFFER, address + at, n, TO_MEMORY);
  }
  return outcome(e, error);
}

static int from_link(void *state, void *to, const volatile void *from, uint64_t bytes) {
  struct edu *e = state;
  pthread_mutex_lock(&e->mutex);
  uint64_t address = address_of(e, from, bytes);
  int error = address == 0 || e->is_broken ? -EAGAIN : 0;
  for (uint64_t at = 0; error == 0 && at < bytes; at += PIECE_BYTES) {
    uint64_t n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
    error = move(e, address + at, BUFFER, n, 0);
    if (error == 0) error = move(e, BUFFER, PAGE_ADDRESS, n, TO_MEMORY);
    if (error == 0) memcpy((uint8_t *)to + at, e->page, n);
  }
  return outcome(e, error);
}

/* The first address that no range has; ranges lie in their order. */
static int attach(void *state, void *memory, uint64_t bytes) {
  struct edu *e = state;
  int error = -ENOSPC;
  pthread_mutex_lock(&e->mutex);
  uint64_t address = LINKS_ADDRESS;
  struct range *free = NULL;
  for (int i = 0; i < RANGES_MAX; i++) {
    struct range *range = &e->ranges[i];
    if (range->memory == NULL && free == NULL) free = range;
    if (range->memory != NULL && range->address + range->bytes > address) {
      address = range->address + range->bytes;
    }
  }
  if (free != NULL && bytes <= ADDRESSES_END - address) {
    error = vfio_map_dma(&e->vfio, memory, address, bytes);
    if (error == 0) *free = (struct range){memory, bytes, address};
  }
  pthread_mutex_unlock(&e->mutex);
  return error;
}

static void detach(void *state, void *memory) {
  struct edu *e = state;
  pthread_mutex_lock(&e->mutex);
  for (int i = 0; i < RANGES_MAX; i++) {
    struct range *range = &e->ranges[i];
    if (range->memory != memory) continue;
    vfio_unmap_dma(&e->vfio, range->address, range->bytes);
    range->memory = NULL;
  }
  pthread_mutex_unlock(&e->mutex);
}

static int open_edu(struct edu *e, const char *path) {
  int error = vfio_open(path, &e->vfio);
  if (error != 0) return error;
  e->done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (e->done < 0) return -errno;
  void *map = vfio_map_bar(&e->vfio, 0, NULL, REGISTERS_BYTES);
  if (map == MAP_FAILED) return -errno;
  e->registers = map;
  /* The lowest byte of the first register says which device it is. */
  if ((e->registers[0] & 0xffff) != 0x00ed) return -ENODEV;
  map = mmap(NULL, QTDMA_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return -errno;
  e->page = map;
  error = vfio_map_dma(&e->vfio, e->page, PAGE_ADDRESS, QTDMA_PAGE);
  return error != 0 ? error : vfio_interrupt(&e->vfio, VFIO_PCI_MSI_IRQ_INDEX, e->done);
}

int qtdma_use_edu(const char *path) {
  static struct edu edu = {.vfio = VFIO_CLOSED, .done = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};
  static struct qtdma_engine engine = {"edu", to_link, from_link, attach, detach, &edu, LEAST_BYTES};
  if (edu.vfio.device >= 0) return 0;
  int error = open_edu(&edu, path);
  if (error == 0) {
    qtdma_use(&engine);
    return 0;
  }
  vfio_close(&edu.vfio);
  if (edu.done >= 0) close(edu.done);
  if (edu.registers != NULL) munmap((void *)edu.registers, REGISTERS_BYTES);
  if (edu.page != NULL) munmap(edu.page, QTDMA_PAGE);
  edu.registers = NULL;
  edu.page = NULL;
  edu.done = -1;
  return error;
}
