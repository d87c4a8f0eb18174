/*
 * Tests of ffi/qtdma, and its fuzz driver. The other side is played by a second mapping of
 * the link's memory, in which anything may be written.
 *
 *     qtdma unit
 *     qtdma fuzz ROUNDS SEED
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../ffi/qtdma.h"

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

enum { CLIENT = 0, SERVER = 1 };
#define WAIT_MS 20000

static char path[] = "/dev/shm/qtdma-test-XXXXXX";
static uint8_t *memory;
static uint64_t memory_size;

static void make_link(uint64_t size) {
  strcpy(strrchr(path, '-'), "-XXXXXX");
  int fd = mkstemp(path);
  CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED);
  memory_size = size;
  close(fd);
}

static void remove_link(void) {
  munmap(memory, memory_size);
  unlink(path);
}

static struct qtdma_header *header(void) { return (struct qtdma_header *)memory; }

/* As it was laid out; the header's may be defaced. */
static uint32_t bulk = QTDMA_BULK_MIN;

static struct qtdma_side *side(uint32_t lane, int which) {
  uint64_t bytes = 2 * QTDMA_PAGE + 2 * (uint64_t)bulk;
  return (struct qtdma_side *)(memory + QTDMA_PAGE + lane * bytes + (uint64_t)which * QTDMA_PAGE);
}

static bool readable(int fd, int timeout_ms) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, timeout_ms) == 1;
}

/* Waits until `fd` is said to be ready for `wants`. */
static void await(int fd, uint32_t wants) {
  if (qtdma_ready(fd, wants, 1) == 0) CHECK(readable(fd, WAIT_MS));
}

static int accept_one(int listener) {
  for (int i = 0; i < 100; i++) {
    int fd = qtdma_accept(listener);
    if (fd != -EAGAIN) return fd;
    CHECK(readable(listener, WAIT_MS));
  }
  return -ETIMEDOUT;
}

static int connect_one(uint32_t port, int listener, int *server) {
  int client = qtdma_connect(path, port);
  CHECK(client >= 0);
  *server = accept_one(listener);
  CHECK(*server >= 0);
  while (qtdma_outcome(client) == -EINPROGRESS) await(client, QTDMA_DATA);
  CHECK(qtdma_outcome(client) == 0);
  return client;
}

static void fill(uint8_t *bytes, uint64_t n, uint32_t seed) {
  for (uint64_t i = 0; i < n; i++) bytes[i] = (uint8_t)((i + seed) * 2654435761u >> 24);
}

static void all_bytes_arrive(void) {
  make_link(8 << 20);
  int listener = qtdma_listen(path, 3, 0600), server;
  CHECK(listener >= 0);
  CHECK(qtdma_listen(path, 3, 0600) == -EADDRINUSE);
  CHECK(qtdma_connect(path, 4) == -ECONNREFUSED);
  int client = connect_one(3, listener, &server);
  uint64_t size = (3 << 20) + 17;
  uint8_t *sent = malloc(size), *got = malloc(size);
  fill(sent, size, 7);
  uint64_t put = 0, taken = 0;
  uint32_t step = 1;
  while (taken < size) {
    step = step * 1103515245u + 12345u;
    uint64_t n = step % 300000 + 1;
    if (n > size - put) n = size - put;
    int64_t s = n == 0 ? 0 : qtdma_send(client, sent + put, n / 3, sent + put + n / 3, n - n / 3);
    CHECK(s >= 0 || s == -EAGAIN);
    if (s > 0) put += (uint64_t)s;
    CHECK(qtdma_unsent(client) == (int64_t)0 || qtdma_unsent(client) <= QTDMA_BULK_MAX);
    int64_t g = qtdma_receive(server, got + taken, step % 70000 + 1 < size - taken ? step % 70000 + 1 : size - taken);
    CHECK(g > 0 || g == -EAGAIN);
    if (g > 0) taken += (uint64_t)g;
  }
  CHECK(memcmp(sent, got, size) == 0);
  CHECK(qtdma_receive(server, got, 1) == -EAGAIN);
  /* What was sent before the end is had, then the end. */
  CHECK(qtdma_send(client, "bye", 3, NULL, 0) == 3);
  qtdma_close(client);
  CHECK(qtdma_receive(server, got, 10) == 3 && memcmp(got, "bye", 3) == 0);
  CHECK(qtdma_receive(server, got, 10) == 0);
  CHECK(qtdma_send(server, "x", 1, NULL, 0) == -EPIPE);
  qtdma_close(server);
  qtdma_close(listener);
  CHECK(qtdma_connect(path, 3) == -ECONNREFUSED);
  free(sent);
  free(got);
  remove_link();
}

static void a_file_is_sent(void) {
  make_link(8 << 20);
  int listener = qtdma_listen(path, 0, 0600), server;
  int client = connect_one(0, listener, &server);
  char name[] = "/dev/shm/qtdma-file-XXXXXX";
  int file = mkstemp(name);
  unlink(name);
  uint8_t data[5000], got[5000];
  fill(data, sizeof data, 1);
  CHECK(write(file, data, sizeof data) == sizeof data);
  CHECK(qtdma_send_file(server, file, 100, 4000) == 4000);
  CHECK(qtdma_receive(client, got, sizeof got) == 4000 && memcmp(got, data + 100, 4000) == 0);
  CHECK(qtdma_send_file(server, file, 4000, 4000) == 1000);
  CHECK(qtdma_send_file(server, file, 9000, 1) == 0);
  CHECK(qtdma_send_file(server, -1, 0, 1) == -EBADF);
  close(file);
  qtdma_close(client);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
}

/* Two processes: each sleeps until the other has done something. */
static void sleepers_are_woken(void) {
  make_link(8 << 20);
  int listener = qtdma_listen(path, 1, 0600);
  pid_t child = fork();
  if (child == 0) {
    /* Threads do not survive fork(2): the child begins with a link of its own. */
    char *arguments[] = {"qtdma", "echo", path, NULL};
    execv("/proc/self/exe", arguments);
    _exit(2);
  }
  int server = accept_one(listener);
  CHECK(server >= 0);
  uint8_t big[2 << 20], back[2 << 20];
  for (uint32_t round = 0; round < 20; round++) {
    uint64_t n = round % 2 == 0 ? 100 : sizeof big, put = 0, taken = 0;
    fill(big, n, round);
    while (taken < n) {
      int64_t s = put < n ? qtdma_send(server, big + put, n - put, NULL, 0) : 0;
      CHECK(s >= 0 || s == -EAGAIN);
      if (s > 0) put += (uint64_t)s;
      int64_t g = qtdma_receive(server, back + taken, n - taken);
      CHECK(g > 0 || g == -EAGAIN);
      if (g > 0) taken += (uint64_t)g;
      else await(server, put < n ? QTDMA_DATA | QTDMA_ROOM : QTDMA_DATA);
    }
    CHECK(memcmp(big, back, n) == 0);
  }
  /* A process that is killed has said nothing. */
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  int64_t end = -EAGAIN;
  while (end == -EAGAIN) {
    await(server, QTDMA_DATA);
    end = qtdma_receive(server, back, 1);
  }
  CHECK(end == 0);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
}

static int echo(const char *where) {
  int fd = qtdma_connect(where, 1);
  CHECK(fd >= 0);
  while (qtdma_outcome(fd) == -EINPROGRESS) await(fd, QTDMA_DATA);
  static uint8_t bytes[100000];
  while (true) {
    int64_t got = qtdma_receive(fd, bytes, sizeof bytes);
    if (got == 0) return 0;
    if (got < 0) {
      CHECK(got == -EAGAIN);
      await(fd, QTDMA_DATA);
      continue;
    }
    for (int64_t put = 0; put < got;) {
      int64_t s = qtdma_send(fd, bytes + put, (uint64_t)(got - put), NULL, 0);
      CHECK(s > 0 || s == -EAGAIN);
      if (s > 0) put += s;
      else await(fd, QTDMA_ROOM);
    }
  }
}

/* Memory that is taken away ends the connection, not the process. */
/* Woken for what it had emptied before it fell asleep: it is woken for what comes next. */
static void who_slept_late_is_woken_again(void) {
  make_link(8 << 20);
  int listener = qtdma_listen(path, 0, 0600), server;
  int client = connect_one(0, listener, &server);
  struct qtdma_side *sleeper = side(0, 0);
  uint8_t got[4];
  CHECK(qtdma_ready(client, QTDMA_DATA, 1) == 0);
  uint32_t next = sleeper->asleep + 4;
  CHECK(qtdma_receive(client, got, 4) == -EAGAIN);
  /* The sender looks whether the other side sleeps only when that has emptied it and does. */
  sleeper->asleep = next;
  CHECK(qtdma_send(server, "a", 1, NULL, 0) == 1);
  CHECK(qtdma_receive(client, got, 4) == 1);
  CHECK(qtdma_ready(client, QTDMA_DATA, 1) == 0 && sleeper->asleep == next);
  uint32_t rung = header()->bell[0][0];
  CHECK(qtdma_send(server, "b", 1, NULL, 0) == 1);
  CHECK(header()->bell[0][0] == rung + 1);
  /* But once alone. */
  CHECK(qtdma_send(server, "c", 1, NULL, 0) == 1);
  CHECK(header()->bell[0][0] == rung + 1);
  CHECK(readable(client, WAIT_MS) && qtdma_receive(client, got, 4) == 2);
  qtdma_close(client);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
}

static void memory_may_vanish(void) {
  make_link(8 << 20);
  int listener = qtdma_listen(path, 1, 0600), server;
  int client = connect_one(1, listener, &server);
  CHECK(truncate(path, 0) == 0);
  uint8_t byte;
  CHECK(qtdma_send(server, "x", 1, NULL, 0) == -EPIPE);
  CHECK(qtdma_receive(server, &byte, 1) == 0);
  await(client, QTDMA_DATA);
  CHECK(qtdma_receive(client, &byte, 1) <= 0);
  qtdma_close(client);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
}

/* A device that is pulled reads as ones; one that is reset as zeros. */
static void devices_may_be_pulled_and_reset(void) {
  for (int value = 0; value < 256; value += 255) {
    make_link(8 << 20);
    int listener = qtdma_listen(path, 1, 0600), server;
    int client = connect_one(1, listener, &server);
    memset(memory, value, memory_size);
    uint8_t byte;
    int64_t got = qtdma_receive(server, &byte, 1);
    CHECK(got == 0 || got == -EPROTO);
    CHECK(qtdma_connect(path, 1) == -ECONNREFUSED);
    int64_t sent = qtdma_send(client, "x", 1, NULL, 0);
    CHECK(sent == -EPIPE || sent == -EPROTO);
    qtdma_close(client);
    qtdma_close(server);
    qtdma_close(listener);
    /* Whoever listens next makes it good again. */
    listener = qtdma_listen(path, 1, 0600);
    client = connect_one(1, listener, &server);
    CHECK(qtdma_send(client, "x", 1, NULL, 0) == 1 && qtdma_receive(server, &byte, 1) == 1);
    qtdma_close(client);
    qtdma_close(server);
    qtdma_close(listener);
    remove_link();
  }
}

static void all_lanes_can_be_used(void) {
  make_link(QTDMA_FILE_BYTES);
  int listener = qtdma_listen(path, 1, 0600), clients[QTDMA_LANES_MAX], servers[QTDMA_LANES_MAX];
  for (uint32_t i = 0; i < QTDMA_LANES_MAX; i++) clients[i] = connect_one(1, listener, &servers[i]);
  CHECK(qtdma_connect(path, 1) == -EAGAIN);
  for (uint32_t i = 0; i < QTDMA_LANES_MAX; i++) {
    CHECK(qtdma_send(clients[i], &i, sizeof i, NULL, 0) == sizeof i);
  }
  for (uint32_t i = 0; i < QTDMA_LANES_MAX; i++) {
    uint32_t got = 99;
    CHECK(qtdma_receive(servers[i], &got, sizeof got) == sizeof got && got == i);
    qtdma_close(i % 2 ? clients[i] : servers[i]);
    qtdma_close(i % 2 ? servers[i] : clients[i]);
  }
  int server, client = connect_one(1, listener, &server);
  qtdma_close(client);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
}

static int to_link(void *state, volatile void *to, const void *from, uint64_t bytes) {
  int *calls = state;
  if (++*calls % 2 == 0) return -EAGAIN;
  memcpy((void *)to, from, bytes);
  return 0;
}

static int from_link(void *state, void *to, const volatile void *from, uint64_t bytes) {
  int *calls = state;
  if (++*calls % 2 == 0) return -EAGAIN;
  memcpy(to, (const void *)from, bytes);
  return 0;
}

static void an_engine_may_decline(void) {
  int calls = 0;
  struct qtdma_engine engine = {"test", to_link, from_link, NULL, NULL, &calls, 1000};
  qtdma_use(&engine);
  make_link(8 << 20);
  int listener = qtdma_listen(path, 1, 0600), server;
  int client = connect_one(1, listener, &server);
  uint8_t data[2000], got[2000];
  for (uint32_t i = 0; i < 10; i++) {
    fill(data, sizeof data, i);
    CHECK(qtdma_send(client, data, sizeof data, NULL, 0) == sizeof data);
    CHECK(qtdma_receive(server, got, sizeof got) == sizeof got);
    CHECK(memcmp(data, got, sizeof got) == 0);
  }
  CHECK(calls == 20);
  CHECK(qtdma_send(client, data, 10, NULL, 0) == 10 && calls == 20);
  qtdma_close(client);
  qtdma_close(server);
  qtdma_close(listener);
  remove_link();
  qtdma_use(&qtdma_cpu);
}

static uint64_t random_state;
static uint32_t any(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 16);
}
static uint32_t below(uint32_t n) { return any() % n; }

/* A number of the kind that breaks things. */
static uint32_t nasty(uint32_t near) {
  switch (below(6)) {
    case 0: return 0;
    case 1: return UINT32_MAX - below(3);
    case 2: return near + below(5) - 2;
    case 3: return near + QTDMA_RING + below(3) - 1;
    case 4: return bulk + below(5) - 2;
    default: return any();
  }
}

static void deface(int peer) {
  struct qtdma_side *evil = side(0, peer), *victim = side(0, 1 - peer);
  switch (below(12)) {
    case 0: evil->head = nasty(victim->tail); break;
    case 1: evil->tail = nasty(victim->head); break;
    case 2: evil->asleep = any(); break;
    case 3:
      if (below(20) == 0) evil->state = nasty(QTDMA_OPEN);
      break;
    case 4:
      if (below(20) == 0) evil->epoch = nasty(evil->epoch);
      break;
    case 5: evil->port = nasty(1); break;
    case 6: {
      uint32_t *words = (uint32_t *)(void *)evil;
      words[below(QTDMA_PAGE / 4)] = any();
      break;
    }
    case 7:
      if (below(500) == 0) ((uint32_t *)(void *)memory)[below(64)] = nasty(0);
      break;
    default: {
      /* Descriptors that are nearly right come further. */
      uint32_t index = victim->tail + below(3);
      struct qtdma_descriptor *d = &evil->ring[index % QTDMA_RING];
      d->offset = nasty(below(bulk));
      d->length = below(2) ? below(100000) : nasty(1);
      d->tag = below(10) ? (victim->epoch * 0x9e3779b1u) ^ index : any();
      if (below(2)) evil->head = index + 1;
    }
  }
}

/* Memory of the other lanes, that a victim in lane 0 has nothing to do with. */
static uint64_t sum_of_others(void) {
  uint64_t sum = 0;
  const uint8_t *from = (const uint8_t *)side(1, CLIENT);
  for (const uint8_t *at = from; at < memory + memory_size; at += 8) sum += *(const uint64_t *)(const void *)at;
  return sum;
}

struct victim {
  int listener;
  int fd;
  int other;
};

static void let_go(struct victim *v) {
  if (v->fd >= 0) qtdma_close(v->fd);
  if (v->other >= 0) qtdma_close(v->other);
  if (v->listener >= 0) qtdma_close(v->listener);
  v->fd = v->other = v->listener = -1;
}

/* A connection in lane 0, of which `peer` is the side that goes wrong. */
static void begin_victim(struct victim *v, int peer) {
  let_go(v);
  memset(memory, 0, QTDMA_PAGE);
  v->listener = qtdma_listen(path, 1, 0600);
  CHECK(v->listener >= 0 && header()->bulk == bulk);
  int server, client = connect_one(1, v->listener, &server);
  v->fd = peer == CLIENT ? server : client;
  v->other = peer == CLIENT ? client : server;
}

static void poke(int fd) {
  uint64_t n = below(4) ? below(5000) + 1 : below(200000) + 1;
  uint8_t *bytes = malloc(n);
  switch (below(5)) {
    case 0:
    case 1: {
      int64_t got = qtdma_receive(fd, bytes, n);
      CHECK(got <= (int64_t)n);
      break;
    }
    case 2: {
      memset(bytes, 1, n);
      int64_t sent = qtdma_send(fd, bytes, n / 2, bytes + n / 2, n - n / 2);
      CHECK(sent <= (int64_t)n);
      break;
    }
    case 3: qtdma_ready(fd, below(4), below(2) == 0); break;
    default: {
      int64_t unsent = qtdma_unsent(fd);
      CHECK(unsent <= (int64_t)bulk);
    }
  }
  free(bytes);
}

static int fuzz(uint64_t rounds, uint64_t seed) {
  random_state = seed * 0x9e3779b97f4a7c15u + 1;
  make_link((1 << 20) - 4096 * below(3));
  struct victim v = {-1, -1, -1};
  uint64_t ends = 0, took = 0;
  int peer = CLIENT;
  begin_victim(&v, peer);
  uint64_t others = sum_of_others();
  for (uint64_t i = 0; i < rounds; i++) {
    for (uint32_t n = below(3) + 1; n > 0; n--) deface(peer);
    poke(v.fd);
    uint8_t byte;
    int64_t got = qtdma_receive(v.fd, &byte, 1);
    if (got == 1) took++;
    bool over = got == 0 || got == -EPROTO;
    if (!over && below(300) != 0) continue;
    if (over) ends++;
    CHECK(sum_of_others() == others);
    peer = (int)below(2);
    begin_victim(&v, peer);
  }
  let_go(&v);
  remove_link();
  printf("%lu rounds, %lu connections ended, %lu times a byte was taken\n", (unsigned long)rounds,
         (unsigned long)ends, (unsigned long)took);
  CHECK(ends > rounds / 1000 && took > rounds / 100);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "echo") == 0) return echo(arguments[2]);
  if (count == 4 && strcmp(arguments[1], "fuzz") == 0) {
    return fuzz(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10));
  }
  CHECK(count == 2 && strcmp(arguments[1], "unit") == 0);
  all_bytes_arrive();
  a_file_is_sent();
  sleepers_are_woken();
  who_slept_late_is_woken_again();
  memory_may_vanish();
  devices_may_be_pulled_and_reset();
  all_lanes_can_be_used();
  an_engine_may_decline();
  puts("ok");
  return 0;
}
