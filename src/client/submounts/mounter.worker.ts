/**
 * The thread that walks through our own mount (mounter.ts). It may wait there for a
 * server that is away; so it has a table of descriptors of its own, as the one that
 * tells the kernel what to forget: nothing that others need stays open through it.
 */
import { readFileSync } from "node:fs";
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { mountSetattr, moveMount } from "../../sys/fsmount.ts";
import { write } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { MNT_DETACH, umount2 } from "../../sys/mount.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../sys/open.ts";
import { keepOnlyFd } from "../../sys/process.ts";
import { withBorrowed } from "../borrow.ts";
import { ATTRIBUTES } from "./mountattributes.ts";
import { type MounterData, MounterKind, MounterRequest, MounterState, Word } from "./mounter.ts";

declare const self: { onmessage: ((event: { data: MounterData }) => void) | null };

const PLACE = O_PATH | O_NOFOLLOW | O_CLOEXEC;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const EMPTY = new PathBuffer(1).put(0, "");
const paths = new PathBuffer(1);
const byte = allocate(1);

self.onmessage = ({ data }) => {
  keepOnlyFd(data.wakeFd);
  const request = new MounterRequest(data.shared);
  const { words } = request;
  while (true) {
    while (Atomics.load(words, Word.STATE) !== MounterState.ASKED) {
      Atomics.wait(words, Word.STATE, MounterState.IDLE);
    }
    const say = (state: number) => {
      Atomics.store(words, Word.STATE, state);
      write(data.wakeFd, byte.address, 1);
    };
    words[Word.RESULT] = carryOut(request, data.target, () => say(MounterState.BORROWED));
    say(MounterState.IDLE);
  }
};

/** Does what is asked; 0 or -errno. `borrowed`: says that main may close what is to be attached. */
function carryOut(request: MounterRequest, target: string, borrowed: () => void): number {
  const { words } = request;
  const place = openPlace(target, request.path);
  if (place < 0) return place;
  try {
    const found = mountIdOf(place);
    words[Word.FOUND] = found;
    const kind = words[Word.KIND] as number;
    if (kind === MounterKind.LOOK) return 0;
    if (found !== words[Word.EXPECTED]) return kind === MounterKind.ATTACH ? -E.EBUSY : -E.ENOENT;
    if (kind === MounterKind.SET) {
      const wanted = words[Word.MOUNT_FD] as number;
      return mountSetattr(place, EMPTY, AT_EMPTY_PATH, wanted, ATTRIBUTES & ~wanted);
    }
    // The descriptor of a mount that is to go is no user of it that matters (MNT_DETACH).
    if (kind === MounterKind.DETACH) return umount2(cstring(pathOf(place)), MNT_DETACH);
    return attach(words, place, borrowed);
  } finally {
    close(place);
  }
}

function attach(words: Int32Array, place: number, borrowed: () => void): number {
  return withBorrowed(words[Word.MOUNT_FD] as number, (mount) => {
    words[Word.FOUND] = mountIdOf(mount);
    borrowed();
    Atomics.wait(words, Word.STATE, MounterState.BORROWED);
    return moveMount(mount, place, EMPTY);
  });
}

/** An O_PATH descriptor of what is at `path` below `target`, of no place outside; or -errno. */
function openPlace(target: string, path: string): number {
  const top = openat(AT_FDCWD, cstring(target), PLACE | O_DIRECTORY, 0);
  if (top < 0 || path === "") return top;
  const place = openat2(top, paths.putLatin1(0, path), PLACE, 0, BENEATH);
  close(top);
  return place;
}

/** Of this thread's table, which is not the process's. */
function pathOf(fd: number): string {
  return `/proc/thread-self/fd/${fd}`;
}

/** Number of the mount that a descriptor is in (proc(5), fdinfo); 0 where it cannot be had. */
function mountIdOf(fd: number): number {
  const info = readFileSync(`/proc/thread-self/fdinfo/${fd}`, "latin1");
  return Number(/^mnt_id:\s*(\d+)/m.exec(info)?.[1] ?? 0);
}
