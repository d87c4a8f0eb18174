/** A thread that runs the system calls of one reactor's queue. */
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { mount } from "../sys/mount.ts";
import { bindNewNetns } from "../sys/netns.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat } from "../sys/open.ts";
import { signalEventfd } from "../sys/poll.ts";
import { fchdir, gettid, onSignalInterrupt, unshareFs } from "../sys/process.ts";
import { rawSyscall } from "../sys/rawsyscall.ts";
import {
  CallQueue,
  DONE_TAIL,
  HEAD,
  IDLE,
  JOB_NUMBERS,
  JOBS_MAX,
  RESULT,
  STOP,
  TAIL,
} from "./callqueue.ts";
import { BIND_NETNS, INTERRUPT_SIGNAL, MOUNT_IN } from "./calls.ts";

/** What main gives the thread. */
export interface CallThreadData {
  queue: SharedArrayBuffer;
  /** Wakes the reactor. */
  wakeFd: number;
}

declare const self: { onmessage: ((event: { data: CallThreadData }) => void) | null };

/** Takes the next job number, or -1 when there is none. */
function take(queue: CallQueue): number {
  while (true) {
    const head = Atomics.load(queue.header, HEAD);
    if (head === Atomics.load(queue.header, TAIL)) return -1;
    const id = queue.ring[(head >>> 0) % JOBS_MAX] as number;
    if (Atomics.compareExchange(queue.header, HEAD, head, (head + 1) | 0) === head) return id;
  }
}

function run(queue: CallQueue, id: number): number {
  const { numbers } = queue;
  const at = id * JOB_NUMBERS;
  const n = (i: number) => numbers[at + i] as number;
  if (Atomics.load(queue.cancelled, id) === 1) return -E.EINTR;
  if (n(0) === BIND_NETNS) return bindNetns(n(1));
  if (n(0) === MOUNT_IN) return mountIn(n(1), n(2), n(3), n(4), n(5), n(6));
  const result = rawSyscall(n(0), n(1), n(2), n(3), n(4), n(5), n(6));
  // The signal was for a job that this thread had just ended.
  const stray = result === -E.EINTR && Atomics.load(queue.cancelled, id) === 0;
  return stray ? run(queue, id) : result;
}

function bindNetns(at: number): number {
  const procfs = openat(AT_FDCWD, cstring("/proc"), O_PATH | O_CLOEXEC, 0);
  if (procfs < 0) return procfs;
  const result = bindNewNetns(procfs, at);
  close(procfs);
  return result;
}

let hasOwnDirectory = false;

function mountIn(
  directory: number,
  source: number,
  at: number,
  type: number,
  flags: number,
  data: number,
): number {
  if (!hasOwnDirectory) {
    const result = unshareFs();
    if (result < 0) return result;
    hasOwnDirectory = true;
  }
  const root = openat(AT_FDCWD, cstring("/"), O_PATH | O_CLOEXEC, 0);
  if (root < 0) return root;
  const entered = fchdir(directory);
  const result = entered < 0 ? entered : mount(source, at, type, flags, data);
  // Where a thread is stays in use.
  fchdir(root);
  close(root);
  return result;
}

function serve(data: CallThreadData): void {
  const queue = new CallQueue(data.queue);
  const { header } = queue;
  const tid = gettid();
  onSignalInterrupt(INTERRUPT_SIGNAL);
  while (Atomics.load(header, STOP) === 0) {
    const id = take(queue);
    if (id < 0) {
      const tail = Atomics.load(header, TAIL);
      Atomics.add(header, IDLE, 1);
      if (tail === Atomics.load(header, HEAD)) Atomics.wait(header, TAIL, tail);
      Atomics.sub(header, IDLE, 1);
      continue;
    }
    queue.startedMs[id] = Date.now();
    Atomics.store(queue.tid, id, tid);
    const result = run(queue, id);
    Atomics.store(queue.tid, id, 0);
    queue.numbers[id * JOB_NUMBERS + RESULT] = result;
    const place = Atomics.add(header, DONE_TAIL, 1);
    Atomics.store(queue.done, (place >>> 0) % JOBS_MAX, id + 1);
    signalEventfd(data.wakeFd);
  }
}

self.onmessage = (event) => serve(event.data);
