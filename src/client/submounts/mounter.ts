/**
 * Putting superblocks into the tree and taking them away. The way there leads through
 * our own mount, so another thread goes it, which the mount's process does not need
 * in order to end (mounter.worker.ts); one request at a time, in shared memory.
 */

import { createReadStream } from "node:fs";
import { pipe2 } from "../../sys/io.ts";
import { close, O_CLOEXEC } from "../../sys/open.ts";

/** Longest path, in bytes. */
const PATH_BYTES = 4096;
/** Words: what is going on, then a request's or an answer's. */
export const Word = {
  STATE: 0,
  KIND: 1,
  /** Descriptor of the mount to be attached, in main's table; or MOUNT_ATTR_* bits. */
  MOUNT_FD: 2,
  /** Number (mnt_id) of the mount that the place must be in or, to detach, that must be there. */
  EXPECTED: 3,
  RESULT: 4,
  /** Number of the mount that is there: the one attached, or one that is in the way. */
  FOUND: 5,
  PATH_LENGTH: 6,
} as const;
const WORDS = 8;

/** BORROWED: the thread has the mount to be attached, which main is to close: umount(2) would find it busy. */
export const MounterState = { IDLE: 0, ASKED: 1, BORROWED: 2, GO_ON: 3 } as const;
/** LOOK: which mount is there. SET: gives a mount other attributes, those in place of MOUNT_FD. */
export const MounterKind = { LOOK: 1, ATTACH: 2, DETACH: 3, SET: 4 } as const;

/** What main gives the thread. */
export interface MounterData {
  shared: SharedArrayBuffer;
  /** Absolute path of the first superblock. */
  target: string;
  /** A pipe that a byte is written to at each change of the state by the thread. */
  wakeFd: number;
}

export interface Outcome {
  /** Whether the mount that was to be attached has been closed here. */
  closed: boolean;
  /** 0 or -errno: -EBUSY where another mount is there, -ENOENT where none is. */
  result: number;
  /** mnt_id of the mount that is there. */
  found: number;
}

/** The shared memory as both sides see it. */
export class MounterRequest {
  readonly words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(shared = new SharedArrayBuffer(WORDS * 4 + PATH_BYTES)) {
    this.words = new Int32Array(shared, 0, WORDS);
    this.#bytes = new Uint8Array(shared, WORDS * 4);
  }

  get shared(): SharedArrayBuffer {
    return this.words.buffer as SharedArrayBuffer;
  }

  /** The path below the target, a byte a character. */
  get path(): string {
    const length = this.words[Word.PATH_LENGTH] as number;
    return Buffer.from(this.#bytes.slice(0, length)).toString("latin1");
  }

  set path(path: string) {
    if (path.length > PATH_BYTES) throw new RangeError("A path is too long");
    this.#bytes.set(Buffer.from(path, "latin1"));
    this.words[Word.PATH_LENGTH] = path.length;
  }
}

export class Mounter {
  readonly #request = new MounterRequest();
  readonly #target: string;
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #woken = Promise.withResolvers<void>();

  constructor(target: string) {
    this.#target = target;
  }

  /** Which mount is at `path` below the target (""). */
  look(path: string): Promise<Outcome> {
    return this.#do(MounterKind.LOOK, path, 0, -1);
  }

  /** Puts the mount that is `mountFd` at `path`, which must be in the mount `parent`; it is closed if that was found. */
  attach(mountFd: number, path: string, parent: number): Promise<Outcome> {
    return this.#do(MounterKind.ATTACH, path, parent, mountFd);
  }

  /** Takes the mount `mount` away that is at `path`: from the tree at once, its users keep it. */
  detach(path: string, mount: number): Promise<Outcome> {
    return this.#do(MounterKind.DETACH, path, mount, -1);
  }

  /** Gives the mount `mount` that is at `path` just these MOUNT_ATTR_* bits, of those that mounts of ours have. */
  set(path: string, mount: number, attributes: number): Promise<Outcome> {
    return this.#do(MounterKind.SET, path, mount, attributes);
  }

  #do(kind: number, path: string, expected: number, mountFd: number): Promise<Outcome> {
    const done = this.#last.then(() => this.#ask(kind, path, expected, mountFd));
    this.#last = done;
    return done;
  }

  async #ask(kind: number, path: string, expected: number, mountFd: number): Promise<Outcome> {
    this.#start();
    const { words } = this.#request;
    words.set([MounterState.IDLE, kind, mountFd, expected, 0, 0]);
    this.#request.path = path;
    Atomics.store(words, Word.STATE, MounterState.ASKED);
    Atomics.notify(words, Word.STATE);
    let closed = false;
    if ((await this.#while(MounterState.ASKED)) === MounterState.BORROWED) {
      close(mountFd);
      closed = true;
      Atomics.store(words, Word.STATE, MounterState.GO_ON);
      Atomics.notify(words, Word.STATE);
      await this.#while(MounterState.GO_ON);
    }
    return { result: words[Word.RESULT] as number, found: words[Word.FOUND] as number, closed };
  }

  /** Waits while that is the state; the next one. */
  async #while(state: number): Promise<number> {
    const { words } = this.#request;
    while (Atomics.load(words, Word.STATE) === state) {
      this.#woken = Promise.withResolvers();
      // It may have been woken in between, for the last time.
      if (Atomics.load(words, Word.STATE) !== state) break;
      await this.#woken.promise;
    }
    return Atomics.load(words, Word.STATE);
  }

  #start(): void {
    if (this.#worker !== undefined) return;
    const ends = pipe2(O_CLOEXEC);
    if (typeof ends === "number") throw new Error(`Cannot make a pipe: errno ${-ends}`);
    const [readEnd, wakeFd] = ends;
    // Atomics.waitAsync wakes an event loop that sleeps only when something else does.
    createReadStream("", { fd: readEnd }).on("data", () => this.#woken.resolve());
    this.#worker = new Worker(new URL("./mounter.worker.ts", import.meta.url).href);
    const data: MounterData = {
      shared: this.#request.shared,
      target: this.#target,
      wakeFd,
    };
    this.#worker.postMessage(data);
  }
}
