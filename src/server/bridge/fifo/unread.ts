/** Data of the HOST's FIFO that was read here, and by nobody on the DPU: it goes back, or on with the next READ. */
import { putAll, takeAll } from "../../../bridge/pipeends.ts";
import { close, O_RDWR, O_WRONLY } from "../../../sys/open.ts";
import { type EndParts, Mode } from "./parts.ts";

const NONE = -1;
/** The word after GIVEN follows at once, if any does. */
const GIVEN_MS = 1;

export class Unread {
  readonly #parts: EndParts;
  /** What was not read there. */
  #residue: Uint8Array[] = [];
  /** Bytes that are sent before any others. */
  #early: Uint8Array[] = [];
  /** Both ends, while what was put back waits for the next word. */
  #kept = NONE;
  #cancelPutBack = () => {};

  constructor(parts: EndParts) {
    this.#parts = parts;
  }

  /** Whether anything is to be sent before others. */
  get any(): boolean {
    return this.#early.length > 0;
  }

  /** Data that was not read there comes back. */
  take(bytes: Uint8Array): void {
    this.#residue.push(new Uint8Array(bytes));
    this.#parts.line.consumed(bytes.length);
  }

  /** GIVEN: that was all of it; `putBack` is called unless it is wanted at once. */
  given(putBack: () => void): void {
    this.#cancelPutBack = this.#parts.options.loop.after(GIVEN_MS, putBack);
  }

  /** READ again, at the new read end `fd`; what was on its way to readers, `late`, is after what is in the pipe. */
  resume(fd: number, late: Uint8Array): void {
    this.#cancelPutBack();
    const early = [...this.#residue, ...this.#early, ...takeAll(fd), late];
    this.#early = early.filter(({ length }) => length > 0);
    this.#residue = [];
  }

  /** Sends it. */
  send(): void {
    for (const early of this.#early.splice(0)) this.#parts.line.send(early);
  }

  /**
   * It goes back to where it came from, before what has come since, if anybody has that open:
   * `hasWriter` there; with `stays`, a writer on the DPU, who wants to have it open at once.
   */
  putBack(hasWriter: boolean, stays: boolean): void {
    const { end } = this.#parts;
    this.#cancelPutBack();
    const given = [...this.#residue, ...this.#early];
    this.#residue = [];
    this.#early = [];
    const rest = given.length > 0 ? takeAll(end.fd) : [];
    if (given.length > 0 && (hasWriter || stays)) {
      this.#kept = this.#parts.open(O_RDWR);
      this.#putAll(this.#kept, [...given, ...rest]);
      end.close();
      if (!stays) this.letGoOfKept();
    } else {
      end.close();
      const fd = given.length > 0 ? this.#parts.open(O_WRONLY) : NONE;
      if (fd >= 0) {
        this.#putAll(fd, [...given, ...rest]);
        close(fd);
      }
    }
    this.#parts.mode = Mode.OFF;
  }

  #putAll(fd: number, parts: readonly Uint8Array[]): void {
    const lost = fd < 0 ? 1 : putAll(fd, parts);
    if (lost > 0) this.#parts.options.log(`${lost} unread bytes found no room in a FIFO`);
  }

  /** Closes what kept the data that was put back; whether there was anything. */
  letGoOfKept(): boolean {
    if (this.#kept < 0) return false;
    close(this.#kept);
    this.#kept = NONE;
    return true;
  }

  close(): void {
    this.#cancelPutBack();
    this.letGoOfKept();
    this.#residue = [];
    this.#early = [];
  }
}
