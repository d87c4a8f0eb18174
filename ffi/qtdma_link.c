/* Links: mapping, layout, and which process of a machine has what (OFD locks). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define SYSFS_MAGIC 0x62656572
#define FORMAT_TRIES 200

_Static_assert(sizeof(struct qtdma_side) == QTDMA_PAGE, "a side is a page");
_Static_assert(sizeof(struct qtdma_header) <= QTDMA_PAGE, "the header is a page");

static pthread_mutex_t links_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct link *links;

/* Mappings that may lose their memory: a file that is truncated, a device that is pulled. */
#define MAPPINGS_MAX 64
static struct {
  _Atomic uintptr_t start;
  _Atomic uintptr_t size;
} mappings[MAPPINGS_MAX];
static struct sigaction before;

/*
 * Memory that is gone becomes zeros, in which nothing is valid: the connections are lost,
 * not the process.
 */
static void on_sigbus(int number, siginfo_t *info, void *context) {
  uintptr_t address = (uintptr_t)info->si_addr;
  for (int i = 0; i < MAPPINGS_MAX; i++) {
    uintptr_t start = atomic_load(&mappings[i].start);
    uintptr_t size = atomic_load(&mappings[i].size);
    if (start == 0 || address < start || address - start >= size) continue;
    void *at = mmap((void *)start, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED) return;
  }
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    signal(SIGBUS, SIG_DFL);
  }
}

static int watch_mapping(void *start, uint64_t size) {
  static bool handles;
  if (!handles) {
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    if (sigaction(SIGBUS, &action, &before) != 0) return -errno;
    handles = true;
  }
  for (int i = 0; i < MAPPINGS_MAX; i++) {
    if (atomic_load(&mappings[i].start) != 0) continue;
    atomic_store(&mappings[i].size, size);
    atomic_store(&mappings[i].start, (uintptr_t)start);
    return 0;
  }
  return -EMFILE;
}

static void forget_mapping(void *start) {
  for (int i = 0; i < MAPPINGS_MAX; i++) {
    if (atomic_load(&mappings[i].start) == (uintptr_t)start) atomic_store(&mappings[i].start, 0);
  }
}

/* A number that the kernels of two machines do not share. */
uint64_t this_machine(void) {
  static _Atomic uint64_t known;
  uint64_t hash = atomic_load(&known);
  if (hash != 0) return hash;
  char id[64] = "";
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, id, sizeof id);
  if (fd >= 0) close(fd);
  hash = UINT64_C(0xcbf29ce484222325);
  for (ssize_t i = 0; i < got; i++) hash = (hash ^ (uint8_t)id[i]) * UINT64_C(0x100000001b3);
  atomic_store(&known, hash | 1);
  return hash | 1;
}

static int lock_call(const struct link *link, int call, short type, uint32_t at, short *found) {
  struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
  int result = fcntl(link->fd, call, &range);
  if (found != NULL) *found = range.l_type;
  return result == 0 ? 0 : -errno;
}

int link_lock(const struct link *link, uint32_t at) {
  return lock_call(link, F_OFD_SETLK, F_WRLCK, at, NULL);
}

void link_unlock(const struct link *link, uint32_t at) {
  lock_call(link, F_OFD_SETLK, F_UNLCK, at, NULL);
}

/* Whether somebody else of this machine has the range. */
bool link_is_locked(const struct link *link, uint32_t at) {
  short found = F_UNLCK;
  return lock_call(link, F_OFD_GETLK, F_WRLCK, at, &found) == 0 && found != F_UNLCK;
}

uint32_t lane_lock(int side, uint32_t lane) {
  return LOCK_LANE + (uint32_t)side * LOCK_LANE + lane;
}

static uint64_t lane_bytes(uint32_t bulk) { return 2 * (uint64_t)QTDMA_PAGE + 2 * (uint64_t)bulk; }

/* The layout follows from the size alone: nothing of it needs to be believed. */
static int lay_out(uint64_t size, struct qtdma_header *geometry) {
  uint32_t bulk = QTDMA_BULK_MAX;
  while (bulk > QTDMA_BULK_MIN && QTDMA_PAGE + QTDMA_LANES_MAX * lane_bytes(bulk) > size) bulk /= 2;
  uint64_t lanes = size < QTDMA_PAGE ? 0 : (size - QTDMA_PAGE) / lane_bytes(bulk);
  if (lanes == 0) return -ENOSPC;
  memset(geometry, 0, sizeof *geometry);
  geometry->magic = QTDMA_MAGIC;
  geometry->version = QTDMA_VERSION;
  geometry->lanes = lanes > QTDMA_LANES_MAX ? QTDMA_LANES_MAX : (uint32_t)lanes;
  geometry->bulk = bulk;
  geometry->ring = QTDMA_RING;
  return 0;
}

struct qtdma_side *lane_side(const struct link *link, uint32_t lane, int side) {
  uint8_t *start = link->map + QTDMA_PAGE + lane * lane_bytes(link->geometry.bulk);
  return (struct qtdma_side *)(start + (uint64_t)side * QTDMA_PAGE);
}

uint8_t *lane_bulk(const struct link *link, uint32_t lane, int side) {
  return (uint8_t *)lane_side(link, lane, 0) + 2 * QTDMA_PAGE + (uint64_t)side * link->geometry.bulk;
}

/* Whether the other side of the link would lay it out as this one does. */
bool link_is_valid(const struct link *link) {
  const struct qtdma_header *there = link->header;
  const struct qtdma_header *ours = &link->geometry;
  return LOAD64(there->magic) == ours->magic && LOAD(there->version) == ours->version &&
         LOAD(there->lanes) == ours->lanes && LOAD(there->bulk) == ours->bulk &&
         LOAD(there->ring) == ours->ring;
}

/* For a listener: makes the link what it should be, unless it is that already. */
int link_format(struct link *link) {
  int result = -EAGAIN;
  for (int i = 0; i < FORMAT_TRIES && result == -EAGAIN; i++) {
    result = link_lock(link, LOCK_FORMAT);
    if (result == -EAGAIN) usleep(1000);
  }
  if (result != 0) return result;
  struct qtdma_header *header = link->header;
  if (!link_is_valid(link)) {
    STORE64(header->magic, 0);
    for (uint32_t lane = 0; lane < link->geometry.lanes; lane++) {
      memset(lane_side(link, lane, CLIENT), 0, 2 * QTDMA_PAGE);
    }
    STORE(header->version, link->geometry.version);
    STORE(header->lanes, link->geometry.lanes);
    STORE(header->bulk, link->geometry.bulk);
    STORE(header->ring, link->geometry.ring);
    fence_device(link);
    STORE64(header->magic, link->geometry.magic);
  }
  STORE64(header->machine, this_machine());
  link_unlock(link, LOCK_FORMAT);
  return 0;
}

/* A device decodes its BARs once it is enabled (sysfs-bus-pci). */
static int open_device(const char *path) {
  char name[4096];
  if (snprintf(name, sizeof name, "%s/enable", path) >= (int)sizeof name) return -ENAMETOOLONG;
  int enable = open(name, O_WRONLY | O_CLOEXEC);
  if (enable < 0) return -errno;
  ssize_t wrote = write(enable, "1", 1);
  int error = wrote == 1 ? 0 : -errno;
  close(enable);
  if (error != 0) return error;
  /* A BAR that may be prefetched has a second file, through which writes are combined. */
  snprintf(name, sizeof name, "%s/resource2_wc", path);
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd >= 0) return fd;
  snprintf(name, sizeof name, "%s/resource2", path);
  fd = open(name, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int open_link(const char *path, bool makes, uint32_t mode) {
  struct stat status;
  if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return open_device(path);
  int fd = open(path, O_RDWR | O_CLOEXEC | (makes ? O_CREAT : 0), mode);
  if (fd < 0) return -errno;
  if (fstat(fd, &status) == 0 && makes && S_ISREG(status.st_mode) && status.st_size == 0 &&
      ftruncate(fd, QTDMA_FILE_BYTES) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

static int map_link(struct link *link) {
  struct stat status;
  struct statfs system;
  if (fstat(link->fd, &status) != 0 || fstatfs(link->fd, &system) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -ENODEV;
  link->device = status.st_dev;
  link->inode = status.st_ino;
  link->is_file = system.f_type != SYSFS_MAGIC;
  link->size = (uint64_t)status.st_size;
  int result = lay_out(link->size, &link->geometry);
  if (result != 0) return result;
  /* Between two pages that nobody may touch: an offset that is wrong is found at once. */
  uint64_t whole = (link->size + 2 * QTDMA_PAGE - 1) & ~(uint64_t)(QTDMA_PAGE - 1);
  uint8_t *fence = mmap(NULL, whole + QTDMA_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fence == MAP_FAILED) return -errno;
  void *map = mmap(fence + QTDMA_PAGE, link->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   link->fd, 0);
  result = map == MAP_FAILED ? -errno : watch_mapping(map, link->size);
  if (result != 0) {
    munmap(fence, whole + QTDMA_PAGE);
    return result;
  }
  link->map = map;
  link->header = map;
  return 0;
}

static void unmap_link(struct link *link) {
  if (link->map == NULL) return;
  forget_mapping(link->map);
  uint64_t whole = (link->size + 2 * QTDMA_PAGE - 1) & ~(uint64_t)(QTDMA_PAGE - 1);
  munmap(link->map - QTDMA_PAGE, whole + QTDMA_PAGE);
}

static void destroy(struct link *link) {
  unmap_link(link);
  if (link->fd >= 0) close(link->fd);
  pthread_mutex_destroy(&link->mutex);
  free(link);
}

int link_get(const char *path, int side, bool makes, uint32_t mode, struct link **result) {
  struct link *link = calloc(1, sizeof *link);
  if (link == NULL) return -ENOMEM;
  pthread_mutex_init(&link->mutex, NULL);
  link->side = side;
  pthread_mutex_lock(&links_mutex);
  link->fd = open_link(path, makes, mode);
  int error = link->fd < 0 ? link->fd : 0;
  struct stat status;
  if (error == 0 && fstat(link->fd, &status) != 0) error = -errno;
  for (struct link *other = links; error == 0 && other != NULL; other = other->next) {
    bool same = other->device == status.st_dev && other->inode == status.st_ino;
    if (!same || other->side != side || other->size != (uint64_t)status.st_size) continue;
    other->users++;
    pthread_mutex_unlock(&links_mutex);
    destroy(link);
    *result = other;
    return 0;
  }
  if (error == 0) error = map_link(link);
  if (error == 0) error = bell_begin(link);
  if (error != 0) {
    pthread_mutex_unlock(&links_mutex);
    destroy(link);
    return error;
  }
  link->users = 1;
  link->next = links;
  links = link;
  pthread_mutex_unlock(&links_mutex);
  *result = link;
  return 0;
}

/* One more uses it, beside who does already. */
void link_share(struct link *link) {
  pthread_mutex_lock(&links_mutex);
  link->users++;
  pthread_mutex_unlock(&links_mutex);
}

void link_put(struct link *link) {
  pthread_mutex_lock(&links_mutex);
  bool last = --link->users == 0;
  if (last) {
    struct link **at = &links;
    while (*at != link) at = &(*at)->next;
    *at = link->next;
  }
  pthread_mutex_unlock(&links_mutex);
  if (!last) return;
  pthread_mutex_lock(&link->mutex);
  link->stops = true;
  pthread_mutex_unlock(&link->mutex);
  bell_changed(link);
  bell_end(link);
  destroy(link);
}
