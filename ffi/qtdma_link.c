/* Links: mapping, layout, and which process of a machine has what (OFD locks). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define SYSFS_MAGIC 0x62656572
#define FORMAT_TRIES 200
/* Of a device. */
#define MEMORY_BAR 2

_Static_assert(sizeof(struct qtdma_side) == QTDMA_PAGE, "a side is a page");
_Static_assert(sizeof(struct qtdma_header) <= QTDMA_PAGE, "the header is a page");

static pthread_mutex_t links_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct link *links;

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

static int open_file(const struct link *link) {
  struct stat status;
  int fd = open(link->path, O_RDWR | O_CLOEXEC | (link->makes ? O_CREAT : 0), link->mode);
  if (fd < 0) return -errno;
  if (fstat(fd, &status) == 0 && link->makes && S_ISREG(status.st_mode) && status.st_size == 0 &&
      ftruncate(fd, QTDMA_FILE_BYTES) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

/* Opens a file, or a device whose directory it is; that one's registers come to `device`. */
static int open_link(const struct link *link, struct device *device) {
  struct stat status;
  bool is_directory = stat(link->path, &status) == 0 && S_ISDIR(status.st_mode);
  return is_directory ? device_open(link->path, device) : open_file(link);
}

static uint64_t fenced(const struct link *link) {
  return (link->size + 2 * QTDMA_PAGE - 1) & ~(uint64_t)(QTDMA_PAGE - 1);
}

/* Maps the memory of `fd` at `at`: by VFIO where the kernel is locked down. */
static int map_at(const struct link *link, void *at, int fd, const struct device *device) {
  void *map = mmap(at, link->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (map == MAP_FAILED && device->vfio.device >= 0) {
    map = vfio_map_bar(&device->vfio, MEMORY_BAR, at, link->size);
  }
  return map == MAP_FAILED ? -errno : 0;
}

static int identify(struct link *link) {
  struct stat status;
  struct statfs system;
  if (fstat(link->fd, &status) != 0 || fstatfs(link->fd, &system) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -ENODEV;
  link->system = status.st_dev;
  link->inode = status.st_ino;
  link->is_file = system.f_type != SYSFS_MAGIC;
  link->size = (uint64_t)status.st_size;
  return 0;
}

static int map_link(struct link *link) {
  int result = lay_out(link->size, &link->geometry);
  if (result != 0) return result;
  /* Between two pages that nobody may touch: an offset that is wrong is found at once. */
  uint64_t whole = fenced(link);
  uint8_t *fence = mmap(NULL, whole + QTDMA_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fence == MAP_FAILED) return -errno;
  void *map = fence + QTDMA_PAGE;
  result = map_at(link, map, link->fd, &link->device);
  if (result == 0) result = watch_mapping(map, link->size);
  if (result != 0) {
    munmap(fence, whole + QTDMA_PAGE);
    return result;
  }
  link->map = map;
  link->header = map;
  return 0;
}

/* The engine that is wanted has the memory, or the CPU copies. */
static void attach_engine(struct link *link) {
  const struct qtdma_engine *e = engine_in_use();
  bool is_attached = e->attach == NULL || e->attach(e->state, link->map, link->size) == 0;
  link->engine = is_attached ? e : &qtdma_cpu;
}

static void detach_engine(const struct link *link) {
  const struct qtdma_engine *e = link->engine;
  if (e != NULL && e->detach != NULL) e->detach(e->state, link->map);
}

static void destroy(struct link *link) {
  if (link->map != NULL) {
    detach_engine(link);
    forget_mapping(link->map);
    munmap(link->map - QTDMA_PAGE, fenced(link) + QTDMA_PAGE);
  }
  if (link->fd >= 0) close(link->fd);
  if (link->changes >= 0) close(link->changes);
  device_close(&link->device);
  pthread_mutex_destroy(&link->mutex);
  free(link->path);
  free(link);
}

static struct link *new_link(const char *path, int side, bool makes, uint32_t mode) {
  struct link *link = calloc(1, sizeof *link);
  if (link == NULL) return NULL;
  pthread_mutex_init(&link->mutex, NULL);
  link->side = side;
  link->makes = makes;
  link->mode = mode;
  link->fd = link->changes = -1;
  link->device = DEVICE_NONE;
  link->path = strdup(path);
  if (link->path != NULL) return link;
  destroy(link);
  return NULL;
}

/* The link of this process that has the same memory; links_mutex is held. */
static struct link *known(const struct link *link) {
  for (struct link *other = links; other != NULL; other = other->next) {
    bool same = other->system == link->system && other->inode == link->inode;
    if (!same || other->side != link->side || other->size != link->size) continue;
    if (!atomic_load(&other->is_gone)) return other;
  }
  return NULL;
}

static int begin(struct link *link) {
  int error = map_link(link);
  if (error != 0) return error;
  attach_engine(link);
  if (!link->is_file) {
    link->changes = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (link->changes < 0) return -errno;
  }
  return bell_begin(link);
}

int link_get(const char *path, int side, bool makes, uint32_t mode, struct link **result) {
  struct link *link = new_link(path, side, makes, mode);
  if (link == NULL) return -ENOMEM;
  pthread_mutex_lock(&links_mutex);
  link->fd = open_link(link, &link->device);
  int error = link->fd < 0 ? link->fd : identify(link);
  struct link *other = error == 0 ? known(link) : NULL;
  if (other != NULL) {
    other->users++;
  } else if (error == 0) {
    error = begin(link);
    link->users = 1;
    link->next = links;
    if (error == 0) links = link;
  }
  pthread_mutex_unlock(&links_mutex);
  *result = other != NULL ? other : link;
  if (other != NULL || error != 0) destroy(link);
  return error;
}

/* Takes the listeners' ports in the new file, which `link->fd` is. */
static int lock_ports(struct link *link) {
  for (struct listener *l = link->listeners; l != NULL; l = l->next) {
    int error = link_lock(link, LOCK_PORT + l->port);
    if (error != 0) return error;
  }
  return 0;
}

/* Whether clients would find another file than the one that is listened at, or none. */
bool link_is_elsewhere(const struct link *link) {
  struct stat status;
  if (!link->is_file || link->listeners == NULL) return false;
  return stat(link->path, &status) != 0 || status.st_dev != link->system ||
         status.st_ino != link->inode;
}

/*
 * Looks whether the memory of a link that is gone is there again, and takes that: a device that
 * was plugged in again, a file that was made anew. The link's mutex is held; connections that
 * there were must know that their memory is gone.
 */
bool link_attach_again(struct link *link) {
  struct device device = DEVICE_NONE;
  struct stat status;
  device_release(&link->device);
  int fd = open_link(link, &device);
  bool fits = fd >= 0 && fstat(fd, &status) == 0 && (uint64_t)status.st_size == link->size;
  if (!fits || map_at(link, link->map, fd, &device) != 0) {
    if (fd >= 0) close(fd);
    device_close(&device);
    return false;
  }
  device_move(&link->device, &device);
  int moved = dup3(fd, link->fd, O_CLOEXEC);
  close(fd);
  if (moved < 0) return false;
  link->inode = status.st_ino;
  link->system = status.st_dev;
  /* Locks are the old file's: of the new one another process may have them by now. */
  if (lock_ports(link) != 0 || link_format(link) != 0) return false;
  for (struct listener *l = link->listeners; l != NULL; l = l->next) {
    STORE(link->header->doorbell[l->port], link->device.doorbell);
  }
  /* An engine has the memory that was here before: who copies next is the new one's. */
  detach_engine(link);
  attach_engine(link);
  atomic_store(&link->is_gone, false);
  return true;
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
