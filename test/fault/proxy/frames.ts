/** Where frames begin in a byte stream, however it is cut into chunks. */
import { Kind } from "../../../src/wire/frame.ts";
import { PREFIX_BYTES } from "../../../src/wire/limits.ts";

/** A frame whose prefix lies whole in a chunk. */
export interface FrameStart {
  /** Of the prefix, in the chunk. */
  at: number;
  /** Of the whole frame. */
  length: number;
}

export class FrameScanner {
  /** Frames of each kind that have begun. */
  readonly counts = new Array<number>(256).fill(0);
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  readonly #view = new DataView(this.#prefix.buffer, this.#prefix.byteOffset, PREFIX_BYTES);
  #have = 0;
  /** Bytes of the frame behind its prefix that are still to come. */
  #left = 0;

  /** Whether the stream stands between two frames. */
  get atBoundary(): boolean {
    return this.#have === 0 && this.#left === 0;
  }

  /** Goes on through `bytes`; the frames that begin in it with their whole prefix. */
  scan(bytes: Uint8Array): FrameStart[] {
    const starts: FrameStart[] = [];
    let at = 0;
    while (at < bytes.length) {
      const skipped = Math.min(this.#left, bytes.length - at);
      this.#left -= skipped;
      at += skipped;
      if (this.#left > 0) break;
      const taken = Math.min(PREFIX_BYTES - this.#have, bytes.length - at);
      this.#prefix.set(bytes.subarray(at, at + taken), this.#have);
      this.#have += taken;
      at += taken;
      if (this.#have < PREFIX_BYTES) continue;
      this.#begin();
      if (taken === PREFIX_BYTES) {
        starts.push({ at: at - PREFIX_BYTES, length: PREFIX_BYTES + this.#left });
      }
    }
    return starts;
  }

  #begin(): void {
    const kind = this.#prefix[PREFIX_BYTES - 1] as number;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    this.#left = this.#view.getUint32(0, true) + (this.#view.getUint32(4, true) & 0xff_ffff);
    this.#have = 0;
  }
}

/** Requests that were seen in one direction and whose answers were not in the other. */
export function outstanding(toServer: FrameScanner, toClient: FrameScanner): number {
  const asked = toServer.counts[Kind.REQUEST] ?? 0;
  return Math.max(0, asked - (toClient.counts[Kind.REPLY] ?? 0));
}

/** Makes the prefix at `at` one that no receiver may accept. */
export function spoilPrefix(
  bytes: Uint8Array,
  at: number,
  what: "kind" | "header" | "payload",
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (what === "kind") view.setUint8(at + 7, 0xee);
  if (what === "payload") view.setUint32(at, 0xfff0_0000, true);
  if (what === "header") view.setUint32(at + 4, (view.getUint8(at + 7) << 24) | 0xff_fff0, true);
}
