/* VFIO (Documentation/driver-api/vfio.rst, linux/vfio.h), as much of it as is wanted here. */
#define _GNU_SOURCE
#include "qtdma_vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The last part of where the link `name` of the device leads. */
static int link_name(const char *path, const char *name, char *result, size_t bytes) {
  char link[PATH_BYTES], target[PATH_BYTES];
  if (snprintf(link, sizeof link, "%s/%s", path, name) >= (int)sizeof link) return -ENAMETOOLONG;
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return -errno;
  target[length] = 0;
  const char *last = strrchr(target, '/');
  int wrote = snprintf(result, bytes, "%s", last == NULL ? target : last + 1);
  return wrote < (int)bytes ? 0 : -ENAMETOOLONG;
}

static int open_group(const char *path) {
  char driver[64], number[32], name[80];
  int error = link_name(path, "driver", driver, sizeof driver);
  if (error == 0 && strcmp(driver, "vfio-pci") != 0) error = -ENODEV;
  if (error == 0) error = link_name(path, "iommu_group", number, sizeof number);
  if (error != 0) return error == -ENOENT ? -ENODEV : error;
  snprintf(name, sizeof name, "/dev/vfio/%s", number);
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT) return fd < 0 ? -errno : fd;
  /* A machine without an IOMMU, where the user has allowed that. */
  snprintf(name, sizeof name, "/dev/vfio/noiommu-%s", number);
  fd = open(name, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int region(const struct vfio *v, uint32_t index, struct vfio_region_info *info) {
  memset(info, 0, sizeof *info);
  info->argsz = sizeof *info;
  info->index = index;
  return ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, info) == 0 ? 0 : -errno;
}

/* Messages of the device, interrupts among them, go nowhere unless it may master the bus. */
static int make_master(const struct vfio *v) {
  struct vfio_region_info info;
  uint16_t command;
  int error = region(v, VFIO_PCI_CONFIG_REGION_INDEX, &info);
  if (error != 0) return error;
  off_t at = (off_t)info.offset + PCI_COMMAND;
  if (pread(v->device, &command, sizeof command, at) != sizeof command) return -EIO;
  command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  return pwrite(v->device, &command, sizeof command, at) == sizeof command ? 0 : -EIO;
}

static int open_device(struct vfio *v, const char *path) {
  struct vfio_group_status status = {.argsz = sizeof status};
  if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status) != 0) return -errno;
  /* Another device of the group is some other driver's. */
  if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) return -EPERM;
  v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
  if (v->container < 0) return -errno;
  if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) != 0) return -errno;
  if (ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0 &&
      ioctl(v->container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU) != 0) {
    return -errno;
  }
  const char *last = strrchr(path, '/');
  v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, last == NULL ? path : last + 1);
  return v->device < 0 ? -errno : make_master(v);
}

int vfio_open(const char *path, struct vfio *result) {
  struct vfio v = VFIO_CLOSED;
  v.group = open_group(path);
  if (v.group < 0) return v.group;
  int error = open_device(&v, path);
  if (error != 0) {
    vfio_close(&v);
    return error;
  }
  *result = v;
  return 0;
}

void vfio_close(struct vfio *v) {
  if (v->device >= 0) close(v->device);
  if (v->group >= 0) close(v->group);
  if (v->container >= 0) close(v->container);
  *v = VFIO_CLOSED;
}

int vfio_interrupt(const struct vfio *v, uint32_t index, int fd) {
  uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)] = {0};
  struct vfio_irq_set set = {
      .argsz = sizeof bytes,
      .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
      .index = index,
      .start = 0,
      .count = 1,
  };
  int32_t trigger = fd;
  memcpy(bytes, &set, sizeof set);
  memcpy(bytes + offsetof(struct vfio_irq_set, data), &trigger, sizeof trigger);
  return ioctl(v->device, VFIO_DEVICE_SET_IRQS, bytes) == 0 ? 0 : -errno;
}

void *vfio_map_bar(const struct vfio *v, uint32_t bar, void *at, uint64_t bytes) {
  struct vfio_region_info info;
  int error = region(v, VFIO_PCI_BAR0_REGION_INDEX + bar, &info);
  if (error == 0 && info.size < bytes) error = -ENXIO;
  if (error != 0) {
    errno = -error;
    return MAP_FAILED;
  }
  return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at == NULL ? 0 : MAP_FIXED),
              v->device, (off_t)info.offset);
}

int vfio_map_dma(const struct vfio *v, void *memory, uint64_t address, uint64_t bytes) {
  struct vfio_iommu_type1_dma_map map = {
      .argsz = sizeof map,
      .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
      .vaddr = (uintptr_t)memory,
      .iova = address,
      .size = bytes,
  };
  return ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map) == 0 ? 0 : -errno;
}

void vfio_unmap_dma(const struct vfio *v, uint64_t address, uint64_t bytes) {
  struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = address, .size = bytes};
  ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}
