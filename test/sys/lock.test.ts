/** Locks between open file descriptions; a waiting thread is let go by a signal. */
import { describe, expect, test } from "bun:test";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_RDLCK,
  F_SETLK,
  F_UNLCK,
  F_WRLCK,
  FLOCK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
} from "../../src/sys/lock.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { getpid, onSignalInterrupt, tgkill } from "../../src/sys/process.ts";
import { outcome, scratch } from "./support.ts";

const place = scratch();
const lock = allocate(FLOCK_STRUCT_SIZE);

function describeLock(type: number, start: number, length: number): number {
  lock.bytes.fill(0);
  lock.view.setInt16(FLOCK.type, type, true);
  lock.view.setBigInt64(FLOCK.start, BigInt(start), true);
  lock.view.setBigInt64(FLOCK.len, BigInt(length), true);
  return lock.address;
}

test("flock: shared with shared, exclusive with none", () => {
  const [one, two] = [place.file("flock"), place.file("flock")];
  expect(flock(one, LOCK_SH)).toBe(0);
  expect(flock(two, LOCK_SH | LOCK_NB)).toBe(0);
  expect(outcome(flock(two, LOCK_EX | LOCK_NB))).toBe("EAGAIN");
  expect(flock(one, LOCK_UN)).toBe(0);
  expect(flock(two, LOCK_EX | LOCK_NB)).toBe(0);
  close(one);
  close(two);
});

describe("record locks", () => {
  test("an OFD lock stops another description, and F_OFD_GETLK says where it is", () => {
    const [one, two] = [place.file("ofd"), place.file("ofd")];
    const FAR = 2 ** 40;
    expect(fcntlLock(one, F_OFD_SETLK, describeLock(F_WRLCK, FAR, 10))).toBe(0);
    const clash = fcntlLock(two, F_OFD_SETLK, describeLock(F_RDLCK, FAR + 5, 1));
    expect(outcome(clash)).toBe("EAGAIN");
    expect(fcntlLock(two, F_OFD_SETLK, describeLock(F_WRLCK, FAR + 10, 1))).toBe(0);
    expect(fcntlLock(two, F_OFD_GETLK, describeLock(F_RDLCK, FAR, 0))).toBe(0);
    expect(lock.view.getInt16(FLOCK.type, true)).toBe(F_WRLCK);
    expect(lock.view.getBigInt64(FLOCK.start, true)).toBe(BigInt(FAR));
    expect(lock.view.getBigInt64(FLOCK.len, true)).toBe(10n);
    expect(lock.view.getInt32(FLOCK.pid, true)).toBe(-1);
    expect(fcntlLock(one, F_OFD_SETLK, describeLock(F_UNLCK, 0, 0))).toBe(0);
    expect(fcntlLock(two, F_OFD_GETLK, describeLock(F_WRLCK, FAR, 10))).toBe(0);
    expect(lock.view.getInt16(FLOCK.type, true)).toBe(F_UNLCK);
    close(one);
    close(two);
  });

  test("a POSIX lock belongs to the process: its other descriptor may lock too", () => {
    const [one, two] = [place.file("posix"), place.file("posix")];
    expect(fcntlLock(one, F_SETLK, describeLock(F_WRLCK, 0, 0))).toBe(0);
    expect(fcntlLock(two, F_SETLK, describeLock(F_WRLCK, 0, 0))).toBe(0);
    expect(fcntlLock(two, F_OFD_GETLK, describeLock(F_WRLCK, 0, 0))).toBe(0);
    expect(lock.view.getInt32(FLOCK.pid, true)).toBe(getpid());
    close(one);
    close(two);
  });
});

/** SIGRTMIN + 6: neither the C library, nor JavaScriptCore, nor Bun uses it. */
const INTERRUPT = 40;

test("a thread that waits for a lock comes back with EINTR on a signal", async () => {
  const holder = place.file("wait");
  expect(flock(holder, LOCK_EX)).toBe(0);
  expect(onSignalInterrupt(INTERRUPT)).toBe(0);
  const worker = new Worker(new URL("./lockwaiter.ts", import.meta.url).href);
  const messages: string[] = [];
  const done = new Promise<void>((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }: MessageEvent<string>) => {
      messages.push(data);
      if (messages.length === 2) resolve();
    };
  });
  worker.postMessage(place.path("wait"));
  // The signal may come before the wait has begun, so it is sent until it has worked.
  const sender = setInterval(() => {
    if (messages.length === 1) tgkill(getpid(), Number(messages[0]), INTERRUPT);
  }, 5);
  await done;
  clearInterval(sender);
  worker.terminate();
  expect(messages[1]).toBe("EINTR");
  expect(flock(holder, LOCK_UN)).toBe(0);
  close(holder);
});
