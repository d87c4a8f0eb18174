/** The ghosts' ways into the superblocks of a mount in which anything is watched. */
import { mounts } from "../../info/mountinfo.ts";
import { cstring } from "../../sys/cstring.ts";
import { O_CLOEXEC, O_RDONLY, openat } from "../../sys/open.ts";
import { POLLERR, POLLPRI, type PollSet } from "../../sys/poll.ts";
import { deviceNumber, placeOf } from "../superblocks.ts";
import { GhostMount } from "./ghostmount.ts";

export class GhostMounts {
  readonly #target: string;
  readonly #open = new Map<number, GhostMount>();
  /** Ready in the sense of POLLPRI when anything was mounted or unmounted (proc(5)). */
  readonly #mountsFd = openat(-1, cstring("/proc/thread-self/mountinfo"), O_RDONLY | O_CLOEXEC, 0);

  constructor(target: string) {
    this.#target = target;
  }

  /** The way into a superblock, opened if there is one and it is of this mount. */
  of(device: number): GhostMount | undefined {
    const known = this.#open.get(device);
    if (known !== undefined) return known;
    const place = placeOf(device, this.#target);
    const opened = place === undefined ? undefined : GhostMount.open(place, device);
    if (opened !== undefined) this.#open.set(device, opened);
    return opened;
  }

  /** The same, only if it is open. */
  opened(device: number): GhostMount | undefined {
    return this.#open.get(device);
  }

  /** Whether the superblock is of this mount. */
  has(device: number): boolean {
    return placeOf(device, this.#target) !== undefined;
  }

  /** Closes the ways into all superblocks but those. */
  keep(devices: ReadonlySet<number>): void {
    for (const [device, mount] of this.#open) {
      if (devices.has(device)) continue;
      this.#open.delete(device);
      mount.close();
    }
  }

  /** Closes the ways into what is mounted nowhere any more, as far as this process sees. */
  leaveUnmounted(): void {
    const all = mounts();
    const isThere = (device: number) => all.some((line) => deviceNumber(line) === device);
    this.keep(new Set([...this.#open.keys()].filter(isThere)));
  }

  /** Index in the poll set of what is ready when anything was mounted or unmounted. */
  addTo(polls: PollSet): number {
    return polls.add(this.#open.size > 0 ? this.#mountsFd : -1, POLLPRI | POLLERR);
  }
}
