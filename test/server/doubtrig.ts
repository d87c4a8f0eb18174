/**
 * A server's session in this process, over a record that outlives it, and a client
 * of it. The session can be killed at every store that tells the next process what
 * was done: what it had open is closed then, as the kernel would, and nothing else.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Counters } from "../../src/info/counters.ts";
import { BridgeDoor } from "../../src/server/bridge/door.ts";
import { BridgeGeneration, BridgeSender } from "../../src/server/bridge/sender.ts";
import { asServer } from "../../src/server/caller.ts";
import { Calls } from "../../src/server/calls.ts";
import { Mailbox } from "../../src/server/mailbox.ts";
import { MountTable } from "../../src/server/mounts/mounttable.ts";
import { Polls } from "../../src/server/polls.ts";
import { SessionRecord } from "../../src/server/record/record.ts";
import { RecordStore } from "../../src/server/record/store.ts";
import { recover } from "../../src/server/recovery.ts";
import type { ReactorServices } from "../../src/server/services.ts";
import { serve } from "../../src/server/serving.ts";
import { Session } from "../../src/server/session.ts";
import type { Tree } from "../../src/server/tree.ts";
import { Watcher } from "../../src/server/watcher.ts";
import { close } from "../../src/sys/open.ts";
import { eventfd } from "../../src/sys/poll.ts";
import { accept, listenUnix, SOCK_SEQPACKET, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op, type OpName } from "../../src/wire/ops.ts";
import { type Argument, RawClient, type Reply, withCaller } from "../support/client.ts";
import { okPair } from "../sys/support.ts";

/** A request, and what came of it. */
export type Request = readonly [op: OpName, args: readonly Argument[], payload?: Uint8Array];

/** Places where the process may die. */
export type Place =
  | "begun"
  | "before a note"
  | "after a note"
  | "counted"
  | "before the answer is kept";

/** The process dies here. */
class Killed extends Error {}

const NEVER = -1;
const SLOT = 5;
const EPOCH = 1;
/** No process starts within one tick of the clock: what it makes is of another time. */
const RESTART_MS = 11;
const ANSWER_TIMEOUT_MS = 20_000;

export class Rig {
  /** What is exported. */
  readonly share: string;
  readonly client: RawClient;
  session: Session;
  readonly #directory: string;
  readonly #listener: number;
  readonly #bridge = okPair(socketPair(SOCK_SEQPACKET));
  readonly #services: ReactorServices;
  readonly #workers: Worker[] = [];
  #transport: SocketTransport;
  /** Places that the process has come to, and the one where it dies. */
  #places = 0;
  #diesAt: Place | number = NEVER;
  /** Where it died last. */
  diedAt: Place = "begun";
  #sequence = 0;

  /** `below`: whose file system the share is on. */
  constructor(below = tmpdir()) {
    this.#directory = mkdtempSync("/dev/shm/qtfs-doubt-");
    this.share = mkdtempSync(join(below, "qtfs-doubt-"));
    const address = join(this.#directory, "socket");
    this.#listener = listenUnix(address, 0o600, 1);
    const wakeFd = eventfd();
    const calls = new Calls(() => {
      const worker = new Worker(new URL("../../src/server/call.worker.ts", import.meta.url).href);
      worker.postMessage({ queue: calls.queue.shared, wakeFd });
      this.#workers.push(worker);
    });
    // Nobody hears what the bridge is told.
    const sender = new BridgeSender(this.#bridge[0], new BridgeGeneration());
    this.#services = {
      counters: new Counters(),
      calls,
      polls: new Polls(),
      watcher: new Watcher(),
      mounts: new MountTable(),
      tell() {},
      exports: [{ path: this.share, readOnly: false, allow: ["sysmount", "device"] }],
      policies: [],
      facts: { build: "", arch: "", kernel: "", bootId: "", pageSize: 4096, pid: process.pid },
      leaseMs: 0,
      records: new RecordStore({ directory: this.#directory, server: "" }),
      bridge: new BridgeDoor(new Mailbox(wakeFd), sender, () => {}),
    };
    this.client = new RawClient(address);
    this.#transport = new SocketTransport(accept(this.#listener), { description: "client" });
    this.session = this.#begin();
  }

  /** A session that has attached to nothing. */
  #begin(): Session {
    const record = SessionRecord.create(join(this.#directory, "record"));
    if (typeof record === "number") throw new Error(`No record: ${record}`);
    const client = { session: "0".repeat(32), role: "mount", uid: 0 };
    return new Session(this.#transport, this.#services, client, record);
  }

  get tree(): Tree {
    return this.session.attached;
  }

  async attach(): Promise<void> {
    this.client.root = (await this.ok("ATTACH", this.share, EPOCH, 0))[2] as number;
  }

  /** One request and its answer. */
  call(op: OpName, args: readonly Argument[], payload?: Uint8Array): Promise<Reply> {
    return this.#answer(this.client.send(SLOT, op, args, payload));
  }

  /** Results of a request that must succeed. */
  async ok(op: OpName, ...args: Argument[]): Promise<unknown[]> {
    const { errno, results } = await this.call(op, args);
    if (errno !== 0) throw new Error(`${op} failed with errno ${errno}`);
    return results;
  }

  async lookup(name: string, parent = this.client.root): Promise<number> {
    return (await this.ok("LOOKUP", parent, name))[0] as number;
  }

  async open(name: string, flags: number): Promise<number> {
    return (await this.ok("OPEN", await this.lookup(name), flags, 0))[0] as number;
  }

  /**
   * Sends a request to a process that dies where it has come to `place`, or to that
   * many places, and goes on with another one; undefined if it died, else the answer.
   */
  callKilled([op, args, payload]: Request, place: Place | number): Promise<Reply | undefined> {
    return this.#unlessKilled(place, () => this.call(op, args, payload));
  }

  /** The same of the request that was sent last, as a client does that has no answer. */
  repeatKilled(request: Request, place: Place | number): Promise<Reply | undefined> {
    return this.#unlessKilled(place, () => this.repeat(request));
  }

  repeat([op, args, payload]: Request): Promise<Reply> {
    this.client.frame(
      Kind.REQUEST,
      [SLOT, this.#sequence, Op[op], ...withCaller(op, args)],
      payload,
    );
    return this.#answer(this.#sequence);
  }

  async #unlessKilled(
    place: Place | number,
    send: () => Promise<Reply>,
  ): Promise<Reply | undefined> {
    this.#watch(place);
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.#revive();
      await Bun.sleep(RESTART_MS);
      return undefined;
    } finally {
      this.#diesAt = NEVER;
    }
  }

  end(): void {
    this.client.close();
    this.#transport.close();
    this.#transport.release();
    this.session.dispose();
    this.#services.calls.stop();
    for (const worker of this.#workers) worker.terminate();
    for (const fd of [this.#listener, ...this.#bridge]) close(fd);
    rmSync(this.#directory, { recursive: true });
    rmSync(this.share, { recursive: true });
  }

  /** A fresh directory of the share: its path, and its node. */
  async directory(name: string): Promise<{ path: string; node: number }> {
    const path = join(this.share, name);
    mkdirSync(path, 0o700);
    return { path, node: await this.lookup(name) };
  }

  async #answer(sequence: number): Promise<Reply> {
    this.#sequence = sequence;
    const deadline = performance.now() + ANSWER_TIMEOUT_MS;
    while (!this.client.answered(SLOT)) {
      if (performance.now() > deadline) throw new Error("There is no answer");
      this.#transport.receive();
      serve(this.session);
      if (this.session.waiting > 0) await Bun.sleep(1);
      this.#services.calls.finish();
      this.#transport.flush();
    }
    return this.client.reply(SLOT);
  }

  /** Counts the places that the session comes to, and lets it die at one of them. */
  #watch(place: Place | number): void {
    this.#places = 0;
    this.#diesAt = place;
    const { session } = this;
    const { slots } = session;
    const at = (place: Place) => {
      this.diedAt = place;
      if (this.#places++ === this.#diesAt || place === this.#diesAt) throw new Killed();
    };
    const { begin, note, countLookup, keep } = slots;
    slots.begin = (...args) => {
      begin.apply(slots, args);
      at("begun");
    };
    slots.note = (...args) => {
      at("before a note");
      note.apply(slots, args);
      at("after a note");
    };
    slots.countLookup = (...args) => {
      countLookup.apply(slots, args);
      at("counted");
    };
    slots.keep = (...args) => {
      at("before the answer is kept");
      keep.apply(slots, args);
    };
  }

  /** What the kernel does for a process that was killed, and then what the next one does. */
  #revive(): void {
    asServer();
    const { session } = this;
    const { client, record, tree } = session;
    const path = record.path as string;
    if (tree === undefined) throw new Error("The session had attached to nothing");
    this.#services.watcher.remove(tree.watched);
    tree.locks.close();
    tree.handles.close();
    tree.reach.close();
    tree.nodes.close();
    record.close();
    const left = SessionRecord.open(path);
    if (typeof left === "string") throw new Error(left);
    const next = new Session(SocketTransport.closed(), this.#services, client, left);
    const recovered = recover(left, this.#services, next);
    if (typeof recovered === "string") throw new Error(recovered);
    next.tree = recovered.tree;
    next.connect(this.#transport);
    this.session = next;
  }
}
