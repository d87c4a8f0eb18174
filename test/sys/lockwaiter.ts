/** A Worker that posts its thread id, waits for a lock, and posts how the wait ended. */
import { cstring } from "../../src/sys/cstring.ts";
import { errnoName } from "../../src/sys/errno.ts";
import { flock, LOCK_EX } from "../../src/sys/lock.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDWR, openat } from "../../src/sys/open.ts";
import { gettid } from "../../src/sys/process.ts";

declare const self: Worker;

self.onmessage = ({ data: path }: MessageEvent<string>) => {
  const fd = openat(AT_FDCWD, cstring(path), O_RDWR | O_CLOEXEC, 0);
  postMessage(`${gettid()}`);
  postMessage(`${errnoName(flock(fd, LOCK_EX))}`);
};
