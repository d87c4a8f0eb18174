/**
 * The kernel's requests that the server has not answered, as the kernel wrote
 * them: after a cut, or the death of a process, they are forwarded once more.
 * Small ones are copied to their slot's place. A large one stays in the buffer it
 * was read to, and the next request is read to another: nothing is copied.
 */
import type { FuseDevice } from "../fuse/device.ts";
import type { Region } from "../sys/memory.ts";
import { BUFFERS, type ClientRecord, SLOT_BYTES } from "./record.ts";

const SLOT_WORDS = SLOT_BYTES / 4;

export class Retained {
  readonly #fuse: FuseDevice;
  readonly #record: ClientRecord;
  readonly #words: Uint32Array;
  /** Buffer that holds each slot's request, from 1, or 0 where it was small. */
  readonly #buffer: Uint8Array;
  readonly #free: number[];
  /** The buffer that the next request is read to, from 0. */
  #current = 0;
  #isOwned = false;

  /** The device reads to the record's buffers from now on. */
  constructor(record: ClientRecord, fuse: FuseDevice) {
    this.#record = record;
    this.#fuse = fuse;
    this.#words = record.requestWords;
    this.#buffer = record.bytes();
    this.#free = Array.from({ length: BUFFERS - 1 }, (_, i) => BUFFERS - 1 - i);
    fuse.request = record.buffers[0] as Region;
  }

  /** Finds the buffers that `slots` (those in use) hold, after another process. */
  adopt(slots: readonly number[]): void {
    const held = new Set(slots.map((slot) => this.#buffer[slot] as number));
    const free = Array.from({ length: BUFFERS }, (_, i) => i).filter((i) => !held.has(i + 1));
    this.#current = free.pop() ?? 0;
    this.#free.splice(0, this.#free.length, ...free);
    this.#fuse.request = this.#record.buffers[this.#current] as Region;
  }

  /** Whether there is another buffer, should the next request be large. */
  get hasRoom(): boolean {
    return this.#free.length > 0;
  }

  /** Keeps the request in the device's buffer as that of `slot`. */
  keep(slot: number): void {
    const { words } = this.#fuse.request;
    const count = (this.#fuse.length + 3) >>> 2;
    if (count > SLOT_WORDS) {
      this.#buffer[slot] = this.#current + 1;
      this.#isOwned = true;
      return;
    }
    this.#buffer[slot] = 0;
    const to = this.#words;
    const at = slot * SLOT_WORDS;
    for (let i = 0; i < count; i++) to[at + i] = words[i] as number;
  }

  /** The request in the device's buffer is forwarded: the next one must not overwrite what is kept. */
  settle(): void {
    if (!this.#isOwned) return;
    this.#isOwned = false;
    this.#current = this.#free.pop() as number;
    this.#fuse.request = this.#record.buffers[this.#current] as Region;
  }

  /** The request of `slot` is over. */
  release(slot: number): void {
    const buffer = this.#buffer[slot] as number;
    if (buffer === 0) return;
    this.#buffer[slot] = 0;
    this.#free.push(buffer - 1);
  }

  /** Calls `use` with the request of `slot` in the device's place for requests. */
  replay(slot: number, use: () => void): void {
    const own = this.#fuse.request;
    const buffer = this.#buffer[slot] as number;
    this.#fuse.request =
      buffer === 0 ? this.#record.request(slot) : (this.#record.buffers[buffer - 1] as Region);
    use();
    this.#fuse.request = own;
  }
}
