/* Mappings whose memory may go away: a file that is truncated, a device that is pulled. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "qtdma_inner.h"

#define MAPPINGS_MAX 64
static struct {
  _Atomic uintptr_t start;
  _Atomic uintptr_t size;
} mappings[MAPPINGS_MAX];
static struct sigaction before;

/* Has zeros in place of what is mapped. */
bool pull_mapping(void *start, uint64_t size) {
  void *at = mmap(start, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return at != MAP_FAILED;
}

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
    if (pull_mapping((void *)start, size)) return;
  }
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    signal(SIGBUS, SIG_DFL);
  }
}

int watch_mapping(void *start, uint64_t size) {
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

void forget_mapping(void *start) {
  for (int i = 0; i < MAPPINGS_MAX; i++) {
    if (atomic_load(&mappings[i].start) == (uintptr_t)start) atomic_store(&mappings[i].start, 0);
  }
}
