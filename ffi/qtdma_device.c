/*
 * A link that is a PCI device: its memory (BAR 2), and where it is QEMU's ivshmem-doorbell its
 * registers (BAR 0), through which machines interrupt each other (QEMU docs: ivshmem-spec).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qtdma_inner.h"

#define REGISTERS_BYTES 4096u
/* Registers of ivshmem, in words: this machine's number, and the doorbell. */
enum { POSITION = 2, DOORBELL = 3 };
#define IVSHMEM "0x1af4:0x1110"

static int open_of(const char *path, const char *name, int flags) {
  char whole[4096];
  if (snprintf(whole, sizeof whole, "%s/%s", path, name) >= (int)sizeof whole) return -ENAMETOOLONG;
  int fd = open(whole, flags | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

/* A device decodes its BARs once it is enabled (sysfs-bus-pci); a driver has done that. */
static int enable(const char *path) {
  int fd = open_of(path, "enable", O_WRONLY);
  if (fd < 0) return fd;
  int error = write(fd, "1", 1) == 1 || errno == EBUSY ? 0 : -errno;
  close(fd);
  return error;
}

static bool is_ivshmem(const char *path) {
  char text[16] = "";
  const char *names[] = {"vendor", "device"};
  for (int i = 0; i < 2; i++) {
    int fd = open_of(path, names[i], O_RDONLY);
    if (fd < 0) return false;
    ssize_t got = read(fd, text + 7 * i, 6);
    close(fd);
    if (got != 6) return false;
  }
  text[6] = ':';
  return strcmp(text, IVSHMEM) == 0;
}

/* By sysfs, which several processes may; by VFIO where the kernel is locked down. */
static void map_registers(struct device *d, const char *path) {
  int fd = open_of(path, "resource0", O_RDWR);
  void *map = MAP_FAILED;
  if (fd >= 0) {
    /* The BAR is smaller than a page, but has one for itself. */
    map = mmap(NULL, REGISTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
  }
  if (map == MAP_FAILED && d->vfio.device >= 0) map = vfio_map_bar(&d->vfio, 0, NULL, 256);
  if (map == MAP_FAILED) return;
  if (watch_mapping(map, REGISTERS_BYTES) != 0) {
    munmap(map, REGISTERS_BYTES);
    return;
  }
  d->registers = map;
}

static void begin_interrupts(struct device *d) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return;
  uint32_t position = d->registers[POSITION];
  if (position > UINT16_MAX || vfio_interrupt(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, fd) != 0) {
    close(fd);
    return;
  }
  d->interrupt = fd;
  d->doorbell = DOORBELL_OF(position, 0);
}

int device_open(const char *path, struct device *d) {
  *d = DEVICE_NONE;
  /* Another process of this machine may have it, and the interrupts: then this one looks. */
  if (vfio_open(path, &d->vfio) == 0) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd >= 0 && vfio_interrupt(&d->vfio, VFIO_PCI_REQ_IRQ_INDEX, fd) == 0) d->wanted_back = fd;
    else if (fd >= 0) close(fd);
  } else {
    int error = enable(path);
    if (error != 0) return error;
  }
  /* A BAR that may be prefetched has a second file, through which writes are combined. */
  int fd = open_of(path, "resource2_wc", O_RDWR);
  if (fd < 0) fd = open_of(path, "resource2", O_RDWR);
  if (fd < 0) {
    device_close(d);
    return fd;
  }
  if (is_ivshmem(path)) map_registers(d, path);
  if (d->registers != NULL && d->vfio.device >= 0) begin_interrupts(d);
  return fd;
}

void device_ring(const struct device *d, uint32_t doorbell) {
  if (d->registers != NULL && doorbell != 0) d->registers[DOORBELL] = doorbell - 1;
}

void device_release(struct device *d) {
  if (d->vfio.device < 0) return;
  /* Other threads may ring at this moment; a mapping by VFIO would keep the device. */
  if (d->registers != NULL) pull_mapping((void *)d->registers, REGISTERS_BYTES);
  /* First who may still interrupt: the eventfds must outlive that. */
  vfio_close(&d->vfio);
  if (d->interrupt >= 0) close(d->interrupt);
  if (d->wanted_back >= 0) close(d->wanted_back);
  d->interrupt = d->wanted_back = -1;
  d->doorbell = 0;
}

/*
 * `to`, which is released, becomes the device `from`. Its registers stay where they are mapped:
 * other threads may ring at this moment.
 */
void device_move(struct device *to, struct device *from) {
  void *fresh = (void *)from->registers;
  void *old = (void *)to->registers;
  if (old != NULL && fresh != NULL) {
    mremap(fresh, REGISTERS_BYTES, REGISTERS_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, old);
    forget_mapping(fresh);
  }
  if (old != NULL) from->registers = old;
  *to = *from;
}

void device_close(struct device *d) {
  device_release(d);
  if (d->registers != NULL) {
    forget_mapping((void *)d->registers);
    munmap((void *)d->registers, REGISTERS_BYTES);
  }
  *d = DEVICE_NONE;
}
