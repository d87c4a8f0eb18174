/* A PCI device by VFIO: interrupts as eventfds, BARs, and DMA by addresses of our choice. */
#ifndef QTDMA_VFIO_H
#define QTDMA_VFIO_H

#include <stdint.h>

struct vfio {
  int container;
  int group;
  int device;
};
/* One that is not open. */
#define VFIO_CLOSED ((struct vfio){-1, -1, -1})

/*
 * Opens the device in the directory `path` of sysfs, which must be vfio-pci's: 0, or -errno
 * (-ENODEV: another driver's or nobody's; -EBUSY: another process has it).
 */
int vfio_open(const char *path, struct vfio *result);
void vfio_close(struct vfio *v);
/* Interrupt `index` (VFIO_PCI_*_IRQ_INDEX), its first vector, makes the eventfd `fd` readable. */
int vfio_interrupt(const struct vfio *v, uint32_t index, int fd);
/* Maps a BAR, at least `bytes` of it; at `at` unless that is NULL. MAP_FAILED and errno. */
void *vfio_map_bar(const struct vfio *v, uint32_t bar, void *at, uint64_t bytes);
/* The device reaches `memory` at `address` from now on: 0, or -errno. */
int vfio_map_dma(const struct vfio *v, void *memory, uint64_t address, uint64_t bytes);
void vfio_unmap_dma(const struct vfio *v, uint64_t address, uint64_t bytes);

#endif
