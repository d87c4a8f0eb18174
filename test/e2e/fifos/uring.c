/*
 * Opens a FIFO by io_uring, which shows nobody what for. Usage: uring PATH r|w
 * A reader prints what it reads; a writer writes a line.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *ring;

static unsigned *at(unsigned offset) { return (unsigned *)(ring + offset); }

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  int fd = syscall(SYS_io_uring_setup, 4, &p);
  if (fd < 0) return 77;
  size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
  ring = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
  struct io_uring_sqe *sqe = mmap(0, p.sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE,
                                  MAP_SHARED, fd, IORING_OFF_SQES);
  int writes = argv[2][0] == 'w';
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = IORING_OP_OPENAT;
  /* Without, it is tried with O_NONBLOCK first. */
  sqe->flags = IOSQE_ASYNC;
  sqe->fd = AT_FDCWD;
  sqe->addr = (unsigned long)argv[1];
  sqe->open_flags = writes ? O_WRONLY : O_RDONLY;
  *at(p.sq_off.array) = 0;
  __atomic_store_n(at(p.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1) return 1;
  struct io_uring_cqe *cqe = (void *)(ring + p.cq_off.cqes);
  if (cqe->res < 0) {
    printf("error %d\n", cqe->res);
    return 1;
  }
  if (writes) return write(cqe->res, "by a ring\n", 10) != 10;
  char data[100];
  for (long got; (got = read(cqe->res, data, sizeof data)) > 0;)
    if (write(1, data, got) != got) return 1;
  return 0;
}
