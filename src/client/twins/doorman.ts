/** The thread that touches the mount (doorman.worker.ts), as the twin process's main loop sees it. */

import type { Loop } from "../../bridge/loop.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { SOCK_SEQPACKET, setBuffers, socketPair } from "../../sys/socket.ts";
import { Channel, type Node } from "./channel.ts";

/** What the thread is to do. */
export type Job = { id: number } & JobWords;
export type JobWords =
  /** Where the mount is. */
  | { kind: "mount"; target: string; source: string }
  /** Leaves superblocks that are mounted no more: which. */
  | { kind: "leave" }
  /** A socket bound to the node, at the HOST's path; it listens as `uid` and `gid` unless it is of datagrams. */
  | {
      kind: "bind";
      channel: number;
      node: Node;
      parent: Node;
      name: string;
      type: number;
      uid: number;
      gid: number;
    }
  /** A socket of that type, connected as `uid` and `gid` to whoever listens here at the node. */
  | {
      kind: "connect";
      channel: number;
      node: Node;
      type: number;
      uid: number;
      gid: number;
      /** A path that it is to be called by, for answers, or "". */
      name: string;
    }
  /** A socket bound to an abstract name, which listens unless it is of datagrams. */
  | { kind: "bindName"; name: string; type: number }
  /** The same as "connect", to who has the abstract name `to`. */
  | { kind: "connectName"; to: string; type: number; uid: number; gid: number; name: string }
  /** The node, opened with O_* `flags`: a FIFO's must have O_NONBLOCK. */
  | { kind: "open"; channel: number; node: Node; flags: number }
  /** Has `inotify` tell `mask` of the node: an O_PATH descriptor of it, and the watch. */
  | { kind: "watch"; channel: number; node: Node; inotify: number; mask: number }
  /** The file at a path of the HOST's, opened with O_* `flags`, if it has that inode number. */
  | { kind: "openPath"; path: string; inode: number; flags: number }
  /** Whether a node of the superblock with that device's number is one of the server's: -EXDEV if not. */
  | { kind: "has"; device: number; node: Node }
  /** Closes a file of the mount. */
  | { kind: "close"; fd: number }
  /** Whether the kernel has the node: -ESTALE if not. */
  | { kind: "look"; channel: number; node: Node };

/** What came of it. */
export interface Outcome {
  id: number;
  /** A descriptor, now the asker's; 0; or -errno. */
  result: number;
  /** The HOST's path of what was bound. */
  path?: string;
  /** Of inotify. */
  watch?: number;
  /** Channels that were left. */
  gone?: number[];
}

/** What the thread says first. */
export interface Ready {
  tid: number;
}

/** Of the queue between both. */
const SOCKET_BYTES = 1024 * 1024;

/** Entering the mount takes no longer, unless somebody there waits for the thread. */
const STUCK_MS = 30;
/** In place of a job's number: the thread is about to enter the mount. */
export const ENTERS = 0;

type Done = (outcome: Outcome) => void;

export class Doorman {
  /** Id of the thread. */
  readonly tid: number;
  readonly #loop: Loop;
  readonly #channel: Channel<Outcome, Job>;
  readonly #waiting = new Map<number, Done>();
  #next = 1;
  #cancelStuck = () => {};
  /** Called now and then while the thread cannot enter the mount. */
  onStuck = () => {};

  private constructor(loop: Loop, fd: number, tid: number) {
    this.#loop = loop;
    this.#channel = new Channel(fd);
    this.tid = tid;
    loop.add(fd, EPOLLIN, { onEvents: () => this.#turn() });
  }

  /** Starts the thread; to be awaited before the loop runs. */
  static async start(loop: Loop): Promise<Doorman> {
    const ends = socketPair(SOCK_SEQPACKET);
    if (typeof ends === "number") throw new Error(`Cannot make a socket: errno ${-ends}`);
    for (const end of ends) setBuffers(end, SOCKET_BYTES);
    const [ours, theirs] = ends;
    const worker = new Worker(new URL("./doorman.worker.ts", import.meta.url).href);
    const { promise, resolve, reject } = Promise.withResolvers<Ready>();
    worker.onmessage = ({ data }: MessageEvent<Ready>) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ fd: theirs });
    const { tid } = await promise;
    return new Doorman(loop, ours, tid);
  }

  /** Whether the thread has ended: nothing can be done on the mount any more. */
  get hasEnded(): boolean {
    return this.#channel.isClosed;
  }

  /** Jobs under way. */
  get count(): number {
    return this.#waiting.size;
  }

  /** Has the thread do something; they are done one after the other, in order. */
  ask(job: JobWords, done: Done): void {
    const id = this.#next++;
    this.#waiting.set(id, done);
    this.#channel.send({ ...job, id });
    if (this.#channel.waits) this.#loop.modify(this.#channel.fd, EPOLLIN | EPOLLOUT);
  }

  /** The thread is about to enter the mount, which it tells of first. */
  #enters(): void {
    this.#cancelStuck = this.#loop.after(STUCK_MS, () => {
      this.#enters();
      this.onStuck();
    });
  }

  #turn(): void {
    this.#channel.flush();
    if (!this.#channel.waits) this.#loop.modify(this.#channel.fd, EPOLLIN);
    for (let one = this.#channel.receive(); one !== undefined; one = this.#channel.receive()) {
      this.#cancelStuck();
      if (one.id === ENTERS) {
        this.#enters();
        continue;
      }
      const done = this.#waiting.get(one.id);
      this.#waiting.delete(one.id);
      done?.(one);
    }
    if (this.#channel.isClosed) throw new Error("The thread that touches the mount has ended");
  }
}
