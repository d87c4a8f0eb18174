/**
 * What is mounted on the HOST, for all sessions of a thread that show it: read from
 * /proc/self/mountinfo when the kernel says that it has changed (poll(2), proc(5)).
 *
 * No mount is touched for it: whoever holds one, for a system call even, makes an
 * umount(2) at that moment fail. So one that has just come is left alone for a while.
 */
import { cstring } from "../../sys/cstring.ts";
import { pread } from "../../sys/io.ts";
import { allocate, type Region } from "../../sys/memory.ts";
import { listMounts } from "../../sys/mountid.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_RDONLY, openat } from "../../sys/open.ts";
import { POLLERR, POLLPRI, PollSet } from "../../sys/poll.ts";
import { type HostMount, parseLine } from "./mountlines.ts";

const NS_PER_MS = 1e6;
/** How long changes gather after a look. */
const GATHER_NS = 5 * NS_PER_MS;
/** How long a mount must have been there before anybody is told. */
const SETTLE_NS = 5 * NS_PER_MS;
/** Bytes of mountinfo, and mounts of the HOST, that are read: of those beyond nothing is known. */
const BYTES_MAX = 16 * 1024 * 1024;
const HOST_MOUNTS_MAX = 65_536;
/** How often it is read again because it changed meanwhile. */
const READS_MAX = 3;
const NONE = -1;

export class MountTable {
  /** Descriptor of mountinfo; -1 while no session splits. */
  fd = NONE;
  /** Mounts, in mountinfo's order: by number, by their id and by that of what they are on. */
  byNumber = new Map<number, HostMount>();
  byId = new Map<number, HostMount>();
  children = new Map<number, HostMount[]>();
  /** Grows with each change of the above. */
  version = 0;
  #text: Region | undefined;
  #ids: Region | undefined;
  readonly #polls = new PollSet(1);
  #users = 0;
  #at = NONE;
  #lookedNs = 0;
  /** Whether there is anything to read, as far as is known. */
  #isDue = false;
  #hasUnsettled = false;
  /** When a session wants to be looked after. */
  #wakeNs = Number.POSITIVE_INFINITY;
  /** Mounts that were first seen later than this may not stay. */
  #settledNs = 0;
  /** Whether nothing was read since mountinfo was opened. */
  #isFresh = true;
  /** Where a client has just had something mounted; whether sessions are to hear of a look at once. */
  #asked: string | undefined;
  #isNews = false;

  /** A session looks at mounts from now on; false where mountinfo cannot be had. */
  begin(): boolean {
    if (this.fd < 0) {
      this.fd = openat(AT_FDCWD, cstring("/proc/self/mountinfo"), O_RDONLY | O_CLOEXEC, 0);
      if (this.fd < 0) return false;
      this.#text ??= allocate(BYTES_MAX);
      this.#ids ??= allocate(8 * HOST_MOUNTS_MAX);
      this.#isDue = true;
      this.#isFresh = true;
    }
    this.#users++;
    this.refresh();
    return true;
  }

  /** It does so no more. */
  end(): void {
    this.#users--;
    if (this.#users > 0) return;
    close(this.fd);
    this.fd = NONE;
    this.#clear();
  }

  /** Adds mountinfo to a poll set, if a change of it is to be told at once. */
  addTo(set: PollSet): void {
    const gathers = (this.#isDue || this.#hasUnsettled) && this.waitMs() > 0;
    this.#at = set.add(gathers ? NONE : this.fd, POLLPRI);
  }

  /** Takes what the poll has found. */
  polled(set: PollSet): void {
    if ((set.revents(this.#at) & (POLLPRI | POLLERR)) !== 0) this.#isDue = true;
  }

  /** How long until there is something to do; -1: until there is a change. */
  waitMs(): number {
    if (this.fd < 0) return NONE;
    if (this.#isNews) return 0;
    const isDue = this.#isDue || this.#hasUnsettled;
    const atNs = Math.min(this.#wakeNs, isDue ? this.#lookedNs + GATHER_NS : this.#wakeNs);
    if (atNs === Number.POSITIVE_INFINITY) return NONE;
    return Math.max(0, Math.ceil((atNs - Bun.nanoseconds()) / NS_PER_MS));
  }

  /** A session wants to be looked after then. */
  wakeAt(ns: number): void {
    this.#wakeNs = Math.min(this.#wakeNs, ns);
  }

  /** Whether sessions want to be looked after at `nowNs`: those that still do say so again. */
  takeWake(nowNs: number): boolean {
    if (nowNs < this.#wakeNs) return false;
    this.#wakeNs = Number.POSITIVE_INFINITY;
    return true;
  }

  /**
   * A client has had a mount made at `path` (a byte a character, from the server's root), or one
   * ended somewhere: it waits until it sees that. What is at `path` and below is told of at once:
   * who would end it at this moment is that client, which is not answered yet.
   */
  changedByClient(path?: string): void {
    this.#asked = path;
    this.#isDue = true;
    this.refresh();
    this.#asked = undefined;
    this.#isNews = true;
  }

  /** Looks for changes, if the last look is long enough ago. */
  look(nowNs: number): void {
    this.#isNews = false;
    if (this.fd >= 0 && nowNs - this.#lookedNs >= GATHER_NS) this.refresh();
  }

  /** Looks for changes. */
  refresh(): void {
    if (this.fd < 0) return;
    this.#lookedNs = Bun.nanoseconds();
    if (!this.#isDue && !this.#hasUnsettled && !this.#hasChanged()) return;
    for (let reads = 0; reads < READS_MAX; reads++) {
      // Before it is read: what comes in between is read once too often, not too seldom.
      this.#hasChanged();
      const text = this.#read();
      const count = listMounts(this.#ids?.address ?? 0, HOST_MOUNTS_MAX);
      this.#isDue = this.#hasChanged();
      if (this.#isDue && reads < READS_MAX - 1) continue;
      this.#take(text.split("\n").slice(0, -1), count);
      return;
    }
  }

  /** Whether the kernel has a change that was not asked after yet. */
  #hasChanged(): boolean {
    this.#polls.clear();
    this.#polls.add(this.fd, POLLPRI);
    return this.#polls.wait(0) > 0;
  }

  #read(): string {
    const { address, bytes } = this.#text as Region;
    let length = 0;
    while (length < BYTES_MAX) {
      const got = pread(this.fd, address + length, BYTES_MAX - length, length);
      if (got <= 0) break;
      length += got;
    }
    return bytes.latin1Slice(0, length);
  }

  /** `count`: how many numbers of mounts there are; they are of use if they are as many as the lines. */
  #take(lines: readonly string[], count: number): void {
    const { words } = this.#ids as Region;
    const now = Bun.nanoseconds();
    const hasNumbers = count === lines.length;
    const before = this.byNumber;
    this.#hasUnsettled = false;
    this.#clear();
    let changed = false;
    for (const [i, line] of lines.entries()) {
      // The lower half: it repeats after 2^32 mounts.
      const number = hasNumbers ? (words[2 * i] as number) : undefined;
      const mount = known(before, line, number, this.#isFresh ? 0 : now);
      if (mount === undefined) continue;
      // It may have been seen before whoever made it said so.
      if (this.#wasAsked(mount) && mount.sinceNs !== 0) {
        mount.sinceNs = 0;
        changed = true;
      }
      if (before.get(mount.number) !== mount) changed = true;
      if (now - mount.sinceNs < SETTLE_NS) this.#hasUnsettled = true;
      // Those that settle are a change, too.
      else if (mount.sinceNs > this.#settledNs) changed = true;
      this.#add(mount);
    }
    this.#settledNs = now - SETTLE_NS;
    this.#isFresh = false;
    // As many, and each was there before.
    changed ||= this.byNumber.size !== before.size;
    if (changed) this.version++;
  }

  #wasAsked({ path }: HostMount): boolean {
    const asked = this.#asked;
    return asked !== undefined && (path === asked || path.startsWith(`${asked}/`));
  }

  #clear(): void {
    this.byNumber = new Map();
    this.byId = new Map();
    this.children = new Map();
  }

  #add(mount: HostMount): void {
    this.byNumber.set(mount.number, mount);
    this.byId.set(mount.id, mount);
    const siblings = this.children.get(mount.parentId);
    if (siblings === undefined) this.children.set(mount.parentId, [mount]);
    else siblings.push(mount);
  }

  /** Whether `mount` has been there for long enough to be told of. */
  isSettled(mount: HostMount): boolean {
    return mount.sinceNs <= this.#settledNs;
  }
}

/** The mount of a line, as it was known before if the line is the same. */
function known(
  before: ReadonlyMap<number, HostMount>,
  line: string,
  number = Number.parseInt(line, 10),
  nowNs = 0,
): HostMount | undefined {
  const old = before.get(number);
  if (old?.text === line) return old;
  const mount = parseLine(line, number, old?.sinceNs ?? nowNs);
  if (mount === undefined || mount.origin !== old?.origin) return mount;
  mount.rootType = old.rootType;
  mount.device = old.device;
  return mount;
}
