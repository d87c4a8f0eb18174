/** inotify(7), without waiting: what the same kernel did is there when the call is over. */
import { addr, i32, i64, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { type Path, pathAddress, space } from "./arena.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./constants.ts";
import { opened } from "./descriptors.ts";
import { errnoValue, must, PosixError } from "./failure.ts";

const c = libc({
  inotify_init1: { args: [i32], returns: i32 },
  inotify_add_watch: { args: [i32, addr, u32], returns: i32 },
  inotify_rm_watch: { args: [i32, i32], returns: i32 },
  read: { args: [i32, addr, u64], returns: i64 },
});

export interface Notice {
  watch: number;
  mask: number;
  cookie: number;
  name: string;
}

/** A new inotify descriptor, non-blocking. */
export function notifier(): number {
  return opened(must("inotify_init1", [], c.inotify_init1(O_CLOEXEC | O_NONBLOCK)));
}

export function watch(fd: number, path: Path, mask: number): number {
  const result = c.inotify_add_watch(fd, pathAddress(path), mask);
  return must("inotify_add_watch", [path, mask], result);
}

export function unwatch(fd: number, id: number): void {
  must("inotify_rm_watch", [id], c.inotify_rm_watch(fd, id));
}

/** All events that wait; none is not an error. */
export function notices(fd: number): Notice[] {
  const room = space(65536);
  let length: number;
  try {
    length = must("read", ["inotify"], c.read(fd, room.address, 65536));
  } catch (error) {
    if (error instanceof PosixError && error.errno === errnoValue("EAGAIN")) return [];
    throw error;
  }
  const found: Notice[] = [];
  for (let at = 0; at < length; ) {
    const size = room.view.getUint32(at + 12, true);
    const name = room.bytes.subarray(at + 16, at + 16 + size).toString();
    found.push({
      watch: room.view.getInt32(at, true),
      mask: room.view.getUint32(at + 4, true),
      cookie: room.view.getUint32(at + 8, true),
      name: name.replace(/\0+$/, ""),
    });
    at += 16 + size;
  }
  return found;
}
