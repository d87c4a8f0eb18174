/** Sessions of a reactor in a process of its own; the kernel and the server are both here. */

import { read, write } from "../../../src/sys/io.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { close } from "../../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import {
  accept,
  listenUnix,
  recv,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  send,
  sendFds,
  setBuffers,
  socketPair,
} from "../../../src/sys/socket.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { requestBytes } from "../../client/requests.ts";
import type { Random } from "../../support/random.ts";
import { ok, okPair } from "../../sys/support.ts";
import { type Exchange, frameAt, honest, splitRequest } from "./corpus.ts";
import { objection } from "./judge.ts";
import { encode, spoil, unsolicited } from "./mutate.ts";
import type { Report } from "./reactor.ts";

/** Slots that the hostile server grants, and the client's bound on its silence. */
export const SLOTS = 64;
export const TIMEOUT_MS = 3000;
/** How long anything may take in a session before it counts as hanging. */
const HANG_MS = 15_000;
const BUFFER_BYTES = 4 * 1024 * 1024;

const room = allocate(2 * 1024 * 1024);

/** How hostile a server is. */
export interface Malice {
  /** Share of the replies that are spoilt, of those the share that keeps its form. */
  spoilt: number;
  gentle: number;
  /** Unsolicited frames before each reply, at most. */
  unsolicited: number;
  /** Bytes before everything else. */
  prelude?: Buffer;
}

export const HONEST: Malice = { spoilt: 0, gentle: 0, unsolicited: 0 };

/** What a session came to. */
export interface Outcome extends Report {
  /** Frames that were not honest: sent, and taken in by the client. */
  hostile: number;
  taken: number;
  /** Errors that callers got, by request; 0 for success. */
  errors: number[];
}

export class ReactorProcess {
  readonly #child: Bun.Subprocess;
  readonly #control: number;
  readonly #polls = new PollSet(2);

  private constructor(child: Bun.Subprocess, control: number) {
    this.#child = child;
    this.#control = control;
  }

  static async start(directory: string): Promise<ReactorProcess> {
    const path = `${directory}/control${crypto.randomUUID()}`;
    const listener = ok(listenUnix(path, 0o600, 1));
    const program = new URL("./reactor.ts", import.meta.url).pathname;
    const child = Bun.spawn([process.execPath, program, path], { stdio: ["ignore", 2, 2] });
    const polls = new PollSet(1);
    polls.add(listener, POLLIN);
    if (polls.wait(HANG_MS) <= 0) throw new Error("The reactor's process does not come up");
    const control = ok(accept(listener));
    close(listener);
    return new ReactorProcess(child, control);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Has the kernel ask all of `requests` and the server answer with `malice`. */
  run(requests: readonly Exchange[], random: Random, malice: Malice): Outcome {
    const session = new Session(this, requests, random, malice);
    try {
      return session.run();
    } finally {
      session.close();
    }
  }

  /** Sends the session's descriptors. */
  give(device: number, connection: number): void {
    ok(sendFds(this.#control, room.address, 1, [device, connection]));
    close(device);
    close(connection);
  }

  /** The report on the session, which must be over. */
  report(): Report {
    this.wait(this.#control, -1, "the reactor's report");
    const got = ok(recv(this.#control, room.address, room.size));
    if (got === 0) throw new Error("The reactor's process has ended");
    return JSON.parse(room.bytes.toString("utf8", 0, got));
  }

  /** Waits until either descriptor is readable. */
  wait(one: number, other: number, what: string): void {
    this.#polls.clear();
    this.#polls.add(one, POLLIN);
    this.#polls.add(other, POLLIN);
    if (this.#polls.wait(HANG_MS) <= 0) throw new Error(`It hangs: ${what} never came`);
  }

  async end(): Promise<void> {
    close(this.#control);
    this.#child.kill("SIGTERM");
    await this.#child.exited;
  }
}

class Session {
  readonly #process: ReactorProcess;
  readonly #requests: readonly Exchange[];
  readonly #random: Random;
  readonly #malice: Malice;
  readonly #kernel: number;
  readonly #server: SocketTransport;
  readonly #errors: (number | undefined)[];
  /** Requests that have been answered by the client, or by the server to the client. */
  readonly #settled = new Set<Exchange>();
  /** Whether each frame sent was hostile. */
  readonly #sent: boolean[] = [];
  #unanswered: number;

  constructor(
    process: ReactorProcess,
    requests: readonly Exchange[],
    random: Random,
    malice: Malice,
  ) {
    this.#process = process;
    this.#requests = requests;
    this.#random = random;
    this.#malice = malice;
    const [kernel, device] = okPair(socketPair(SOCK_SEQPACKET));
    const [server, connection] = okPair(socketPair(SOCK_STREAM));
    for (const fd of [kernel, device, server, connection]) ok(setBuffers(fd, BUFFER_BYTES));
    this.#kernel = kernel;
    this.#server = new SocketTransport(server, { description: "the client" });
    this.#errors = requests.map(() => undefined);
    this.#unanswered = requests.length;
    this.#process.give(device, connection);
  }

  run(): Outcome {
    if (this.#malice.prelude !== undefined) this.#send(this.#malice.prelude);
    for (const [i, { opcode, node, body }] of this.#requests.entries()) {
      const bytes = requestBytes(opcode, body, { unique: i + 1, node });
      room.bytes.set(bytes);
      ok(write(this.#kernel, room.address, bytes.length));
    }
    while (this.#unanswered > 0 && !this.#server.closed) {
      this.#process.wait(this.#kernel, this.#server.fd, "an answer or a request");
      this.#hear();
      this.#serve();
      // Everything has its reply, for better or worse: what is unanswered then stays so.
      if (this.#settled.size === this.#requests.length) this.#server.close();
    }
    while (this.#unanswered > 0) {
      this.#process.wait(this.#kernel, -1, `${this.#unanswered} answers to the kernel`);
      this.#hear();
    }
    close(this.#kernel);
    const report = this.#process.report();
    const hostile = (frames: boolean[]) => frames.filter(Boolean).length;
    // A frame that ends the session by its prefix is none to the client's count.
    const seen = report.frames + (report.fault === undefined ? 0 : 1);
    const taken = hostile(this.#sent.slice(0, seen));
    return { ...report, hostile: hostile(this.#sent), taken, errors: this.#errors as number[] };
  }

  /** Takes what the client tells the kernel, and judges it. */
  #hear(): void {
    for (let got = read(this.#kernel, room.address, room.size); got > 0; ) {
      const { view, bytes } = room;
      const [length, error] = [view.getUint32(0, true), view.getInt32(4, true)];
      const unique = Number(view.getBigUint64(8, true));
      if (length !== got) throw new Error(`A message of ${got} bytes says that it has ${length}`);
      if (unique !== 0) this.#answered(unique, error, Buffer.from(bytes.subarray(16, got)));
      got = read(this.#kernel, room.address, room.size);
    }
  }

  #answered(unique: number, error: number, body: Buffer): void {
    const request = this.#requests[unique - 1];
    if (request === undefined) throw new Error(`An answer to ${unique}, which was never asked`);
    if (this.#errors[unique - 1] !== undefined) throw new Error(`A second answer to ${unique}`);
    const why = objection(request, error, body);
    if (why !== undefined) throw new Error(`Opcode ${request.opcode}: the kernel refuses ${why}`);
    this.#errors[unique - 1] = error;
    this.#settled.add(request);
    this.#unanswered--;
  }

  /** Answers the requests that have arrived, all at once. */
  #serve(): void {
    if (this.#server.closed || this.#server.receive() <= 0) return;
    const out: Buffer[] = [];
    while (this.#server.next()) {
      const frame = frameAt(this.#server);
      if (frame.kind !== Kind.REQUEST) continue;
      const { asked, op } = splitRequest(frame.header);
      const exact = this.#requests.find((one) => one.asked === asked);
      if (exact !== undefined) this.#settled.add(exact);
      // What the client asks of its own accord gets what the kernel's like is told.
      const exchange = exact ?? this.#requests.find((one) => one.op === op);
      if (exchange !== undefined) out.push(...this.#replies(exchange, frame.header));
    }
    this.#send(Buffer.concat(out));
  }

  #replies(exchange: Exchange, request: Buffer): Buffer[] {
    const { spoilt, gentle, unsolicited: most } = this.#malice;
    const random = this.#random;
    const out = Array.from({ length: random.below(most + 1) }, () => unsolicited(random));
    const reply = honest(exchange, request);
    const hostile = random.chance(spoilt);
    this.#sent.push(...out.map(() => true), hostile);
    out.push(hostile ? spoil(reply, random, gentle) : encode(reply));
    return out;
  }

  /** Sends bytes as they are; a client that has closed the connection gets none. */
  #send(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(room.size, bytes.length - at);
      room.bytes.set(bytes.subarray(at, at + length));
      const sent = send(this.#server.fd, room.address, length, 0);
      if (sent > 0) at += sent;
      else if (sent === -11) this.#hear();
      else return;
    }
  }

  close(): void {
    if (!this.#server.closed) this.#server.close();
    this.#server.release();
  }
}
