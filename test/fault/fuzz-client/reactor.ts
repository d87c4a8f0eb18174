/**
 * Runs the mount's reactor for one session after the other: `bun reactor.ts
 * SOCKET`. Each session's /dev/fuse (a packet socket) and connection come as
 * descriptors over the socket; when it has ended, a Report goes back.
 */
import { readFileSync } from "node:fs";
import { Client } from "../../../src/client/client.ts";
import { NoticeQueue } from "../../../src/client/noticequeue.ts";
import { Reactor } from "../../../src/client/reactor.ts";
import { ClientRecord, RECORD_BYTES } from "../../../src/client/record.ts";
import { Orders } from "../../../src/client/submounts/orders.ts";
import { FuseDevice } from "../../../src/fuse/device.ts";
import { Counters } from "../../../src/info/counters.ts";
import { machineFacts } from "../../../src/info/facts.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { close } from "../../../src/sys/open.ts";
import { eventfd, POLLIN, PollSet } from "../../../src/sys/poll.ts";
import { dupOver } from "../../../src/sys/process.ts";
import { connectUnix, recvFds, send } from "../../../src/sys/socket.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { ok } from "../../sys/support.ts";
import { SLOTS, TIMEOUT_MS } from "./session.ts";

/** How a session went. */
export interface Report {
  /** Frames of the server that the client took in. */
  frames: number;
  /** Answers that the kernel refused. */
  refused: number;
  /** Why the connection was closed, if the client did that. */
  fault?: string;
  anonymousKb: number;
}

/** A transport that counts. */
class Counting extends SocketTransport {
  frames = 0;

  override next(): boolean {
    const found = super.next();
    if (found) this.frames++;
    return found;
  }

  override dropPeeked(): void {
    this.frames++;
    super.dropPeeked();
  }
}

const counters = new Counters();
const FACTS = machineFacts();
/** One record's memory for all sessions: a mount makes one in its life, and never gives it back. */
const memory = allocate(RECORD_BYTES);
/** More than what a record says of itself and its slots. */
const SAID_BYTES = 1024 * 1024;
const orders = new Orders(ok(eventfd()));
const VALIDITY = { ordinarySeconds: 1, watchedSeconds: 60 };

function anonymousKb(): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]);
}

function serve(fuse: FuseDevice, connection: number): Report {
  const transport = new Counting(connection, { description: "the hostile server" });
  memory.bytes.fill(0, 0, SAID_BYTES);
  const record = new ClientRecord(memory);
  const client = new Client(fuse, transport, SLOTS, "auto", VALIDITY, counters, record);
  const report: Report = { frames: 0, refused: 0, anonymousKb: 0 };
  const before = fuse.refused;
  new Reactor(client, {
    timeoutMs: TIMEOUT_MS,
    notices: new NoticeQueue(),
    log: (level, text) => {
      if (level === "error" && text.includes("not understood")) report.fault ??= text;
    },
    ready: () => {},
    // No address: the connection that was given is the only one.
    link: { addresses: [], source: "/", splits: false, facts: FACTS, session: "", tell: () => {} },
    orders,
    mounts: () => {},
  }).run();
  transport.close();
  transport.release();
  report.frames = transport.frames;
  report.refused = fuse.refused - before;
  report.anonymousKb = anonymousKb();
  return report;
}

const room = allocate(4096);
const control = ok(connectUnix(process.argv[2] as string));
const polls = new PollSet(1);
polls.add(control, POLLIN);
/** The same number for every session, so that the device's buffers are made once. */
let device: FuseDevice | undefined;

while (true) {
  polls.wait(-1);
  const { n, fds } = recvFds(control, room.address, 1, 2);
  if (n === 0) break;
  const [deviceFd, connection] = fds;
  if (deviceFd === undefined || connection === undefined) continue;
  if (device === undefined) device = new FuseDevice(deviceFd);
  else {
    ok(dupOver(deviceFd, device.fd, true));
    close(deviceFd);
  }
  const report = Buffer.from(`${JSON.stringify(serve(device, connection))}\n`);
  // Closes this side of the device, as an unmount does.
  ok(dupOver(control, device.fd, true));
  room.bytes.set(report.subarray(0, room.size));
  send(control, room.address, Math.min(report.length, room.size), 0);
}
