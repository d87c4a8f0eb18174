/**
 * What joins guests by ivshmem-doorbell: gives each machine of QEMU that connects a number, the
 * memory, and an eventfd for each of the others' interrupts (QEMU docs: ivshmem-spec, "Server-client
 * protocol"). One vector each.
 *
 *     bun ivshmemserver.ts SOCKET MEMORY
 */
import { openSync } from "node:fs";
import { E } from "../../../../src/sys/errno.ts";
import { allocate } from "../../../../src/sys/memory.ts";
import { close } from "../../../../src/sys/open.ts";
import { eventfd, POLLIN, PollSet } from "../../../../src/sys/poll.ts";
import { sendFds } from "../../../../src/sys/scm.ts";
import { accept, listenUnix, recv } from "../../../../src/sys/socket.ts";

const VERSION = 0;
/** The number in the message that brings the memory. */
const MEMORY = -1;
const PEERS_MAX = 8;

interface Peer {
  fd: number;
  id: number;
  interrupt: number;
}

const [socket = "", memory = ""] = process.argv.slice(2);
const memoryFd = openSync(memory, "r+");
const listener = listenUnix(socket, 0o600, PEERS_MAX);
if (listener < 0) throw new Error(`Cannot listen at ${socket}: errno ${-listener}`);
const word = allocate(8);
const polls = new PollSet(1 + PEERS_MAX);
let peers: Peer[] = [];

function tell(peer: Peer, value: number, ...fds: number[]): void {
  word.view.setBigInt64(0, BigInt(value), true);
  sendFds(peer.fd, word.address, 8, fds);
}

function welcome(fd: number): void {
  const taken = new Set(peers.map(({ id }) => id));
  let id = 0;
  while (taken.has(id)) id++;
  const peer = { fd, id, interrupt: eventfd() };
  tell(peer, VERSION);
  tell(peer, id);
  tell(peer, MEMORY, memoryFd);
  for (const other of peers) {
    tell(other, id, peer.interrupt);
    tell(peer, other.id, other.interrupt);
  }
  tell(peer, id, peer.interrupt);
  peers.push(peer);
}

function leave(gone: Peer): void {
  close(gone.fd);
  close(gone.interrupt);
  peers = peers.filter((peer) => peer !== gone);
  for (const peer of peers) tell(peer, gone.id);
}

console.log("listening");
while (true) {
  polls.clear();
  polls.add(listener, POLLIN);
  for (const { fd } of peers) polls.add(fd, POLLIN);
  polls.wait(-1);
  for (const peer of [...peers]) {
    const got = recv(peer.fd, word.address, 8);
    if (got === 0 || (got < 0 && got !== -E.EAGAIN)) leave(peer);
  }
  const fd = peers.length < PEERS_MAX ? accept(listener) : -E.EAGAIN;
  if (fd >= 0) welcome(fd);
}
