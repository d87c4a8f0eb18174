/** All processes that stand for the HOST's under one supervisor: who has which, and their ends. */
import type { Log } from "../info/log.ts";
import { cstring } from "../sys/cstring.ts";
import { errnoName } from "../sys/errno.ts";
import { pipe2 } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { close, O_CLOEXEC, O_RDONLY, openat } from "../sys/open.ts";
import { kill } from "../sys/process.ts";
import { SIGKILL } from "../sys/signals.ts";
import { SOCK_SEQPACKET, send, socketPair } from "../sys/socket.ts";
import type { EndsData, FromEnds } from "./ends.worker.ts";
import { Procfs } from "./spaces.ts";
import { isSame, ORDER_MAX, startStandIn, type Target, targetOf } from "./standin.ts";

/** No room for another one. */
export const FULL = -1;

/** What they live by: a descriptor of the end of a pipe that is written to, to be kept. */
export function createLife(): number {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === "number") throw new Error(`Cannot make a pipe: ${errnoName(pipe)}`);
  const [reading, writing] = pipe;
  close(reading);
  return writing;
}

export class StandIns {
  readonly #procfs = new Procfs();
  readonly #life: number;
  /** Numbers of their processes, 0 for none; in the record, for who comes after this process. */
  readonly #pids: Uint32Array;
  readonly #log: Log;
  readonly #order = allocate(ORDER_MAX);
  /** Our end of the connection with the thread that waits for ends, once there is one. */
  #ends = -1;

  constructor(life: number, pids: Uint32Array, log: Log) {
    this.#life = life;
    this.#pids = pids;
    this.#log = log;
    // Those of a process before this one.
    for (const index of pids.keys()) {
      const target = this.#target(index);
      if (target !== undefined) this.#await(target);
    }
  }

  /** Number of the process that stands for `target`, or FULL. Throws a sentence where there can be none. */
  of(target: Target): number {
    let free = -1;
    for (const [index, pid] of this.#pids.entries()) {
      const other = this.#target(index);
      if (other === undefined) free = index;
      else if (isSame(other, target)) return pid;
    }
    if (free < 0) return FULL;
    const input = openat(
      this.#procfs.fd,
      cstring(`self/fd/${this.#life}`),
      O_RDONLY | O_CLOEXEC,
      0,
    );
    if (input < 0) throw new Error(`Cannot open a pipe: ${errnoName(input)}`);
    const pid = startStandIn(target, input);
    close(input);
    this.#pids[free] = pid;
    this.#await(target);
    return pid;
  }

  /** Whom the process at that place stands for; the place is emptied if it is gone. */
  #target(index: number): Target | undefined {
    const pid = this.#pids[index] as number;
    if (pid === 0) return undefined;
    const target = targetOf(this.#procfs, pid);
    if (target === undefined) this.#pids[index] = 0;
    return target;
  }

  /** Has the thread wait for its end. */
  #await(target: Target): void {
    if (this.#ends < 0) this.#ends = this.#startThread();
    const length = this.#order.bytes.write(JSON.stringify(target));
    const sent = send(this.#ends, this.#order.address, length, 0);
    if (sent < 0) throw new Error(`Nobody waits for the HOST's processes: ${errnoName(sent)}`);
  }

  #startThread(): number {
    const pair = socketPair(SOCK_SEQPACKET);
    if (typeof pair === "number") throw new Error(`Cannot make a socket: ${errnoName(pair)}`);
    const [own, theirs] = pair;
    const worker = new Worker(new URL("./ends.worker.ts", import.meta.url).href);
    worker.onmessage = ({ data }: { data: FromEnds }) => {
      if (data.kind === "log") this.#log.write("warn", data.text);
      else this.#end(data.target);
    };
    worker.onerror = ({ message }) => this.#log.write("error", message);
    worker.postMessage(theirs satisfies EndsData);
    return own;
  }

  #end(target: Target): void {
    for (const [index, pid] of this.#pids.entries()) {
      const other = this.#target(index);
      if (other === undefined || !isSame(other, target)) continue;
      kill(pid, SIGKILL);
      this.#pids[index] = 0;
    }
  }
}
