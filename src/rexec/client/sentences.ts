/**
 * What rexec says itself, to stderr as it was at first: when the program's has ended, ours is
 * /dev/null, so that whoever reads it finds the end. So it is kept by path alone (O_PATH),
 * which keeps no pipe open, and opened anew.
 */
import { fstatSync, writeSync } from "node:fs";
import { printable } from "../../info/printable.ts";
import { cstring } from "../../sys/cstring.ts";
import {
  AT_FDCWD,
  close,
  O_APPEND,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
  openat,
} from "../../sys/open.ts";

const STDERR = 2;
const NONE = -1;

export class Sentences {
  #kept = NONE;

  /** To be called before anything is done to stderr, and after inherited descriptors were looked for. */
  keep(): void {
    this.#kept = openFd(STDERR, O_PATH);
  }

  say(sentence: string): void {
    const text = `rexec: ${printable(sentence)}\n`;
    const anew = this.#isReplaced ? openFd(this.#kept, O_WRONLY | O_APPEND | O_NONBLOCK) : NONE;
    write(anew < 0 ? STDERR : anew, text);
    if (anew >= 0) close(anew);
  }

  get #isReplaced(): boolean {
    if (this.#kept < 0) return false;
    try {
      const [now, first] = [fstatSync(STDERR), fstatSync(this.#kept)];
      return now.ino !== first.ino || now.dev !== first.dev;
    } catch {
      return true;
    }
  }
}

function openFd(fd: number, flags: number): number {
  return openat(AT_FDCWD, cstring(`/proc/self/fd/${fd}`), flags | O_CLOEXEC | O_NOCTTY, 0);
}

function write(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // There is nobody to hear it.
  }
}
