/**
 * The options of a mount on the HOST: words of mount(8) that are flags of mount(2), and
 * the file system's own, which are passed on as they are.
 */
import { MountAttr, MountFlag } from "../wire/constants.ts";
import { UsageError } from "./errors.ts";

/** One mount(2) of those that the options ask for, in their order. */
export interface HostMountStep {
  kind: "new" | "bind" | "move" | "change" | "attributes";
  flags: number;
  /** The file system's own options. */
  data: string;
  /** With "attributes": MountAttr bits that all mounts from there on lose; they get `flags`. */
  clears?: number;
}

const F = MountFlag;
const A = MountAttr;
/** Flags that a word sets, and those that it clears. */
const WORDS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  defaults: [0, 0],
  ro: [F.RDONLY, 0],
  rw: [0, F.RDONLY],
  nosuid: [F.NOSUID, 0],
  suid: [0, F.NOSUID],
  nodev: [F.NODEV, 0],
  dev: [0, F.NODEV],
  noexec: [F.NOEXEC, 0],
  exec: [0, F.NOEXEC],
  sync: [F.SYNCHRONOUS, 0],
  async: [0, F.SYNCHRONOUS],
  dirsync: [F.DIRSYNC, 0],
  mand: [F.MANDLOCK, 0],
  nomand: [0, F.MANDLOCK],
  nosymfollow: [F.NOSYMFOLLOW, 0],
  symfollow: [0, F.NOSYMFOLLOW],
  noatime: [F.NOATIME, 0],
  atime: [0, F.NOATIME],
  nodiratime: [F.NODIRATIME, 0],
  diratime: [0, F.NODIRATIME],
  relatime: [F.RELATIME, 0],
  norelatime: [0, F.RELATIME],
  strictatime: [F.STRICTATIME, 0],
  nostrictatime: [0, F.STRICTATIME],
  lazytime: [F.LAZYTIME, 0],
  nolazytime: [0, F.LAZYTIME],
  iversion: [F.I_VERSION, 0],
  noiversion: [0, F.I_VERSION],
  silent: [F.SILENT, 0],
  loud: [0, F.SILENT],
  remount: [F.REMOUNT, 0],
  bind: [F.BIND, 0],
  rbind: [F.BIND | F.REC, 0],
  move: [F.MOVE, 0],
};
/** How a mount propagates: each is a call of its own. */
const PROPAGATION: Readonly<Record<string, number>> = {
  private: F.PRIVATE,
  rprivate: F.PRIVATE | F.REC,
  shared: F.SHARED,
  rshared: F.SHARED | F.REC,
  slave: F.SLAVE,
  rslave: F.SLAVE | F.REC,
  unbindable: F.UNBINDABLE,
  runbindable: F.UNBINDABLE | F.REC,
};
/** Words that may be `=recursive`, and the attributes that they set or clear. */
const RECURSIVE: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [A.RDONLY, 0],
  rw: [0, A.RDONLY],
  nosuid: [A.NOSUID, 0],
  suid: [0, A.NOSUID],
  nodev: [A.NODEV, 0],
  dev: [0, A.NODEV],
  noexec: [A.NOEXEC, 0],
  exec: [0, A.NOEXEC],
  noatime: [A.NOATIME, A.ATIME_MASK],
  relatime: [0, A.ATIME_MASK],
  strictatime: [A.STRICTATIME, A.ATIME_MASK],
  nodiratime: [A.NODIRATIME, 0],
  diratime: [0, A.NODIRATIME],
  nosymfollow: [A.NOSYMFOLLOW, 0],
  symfollow: [0, A.NOSYMFOLLOW],
};
const RECURSIVE_WORD = /^([a-z]+)=recursive$/;
const HOW = F.BIND | F.REC | F.REMOUNT | F.MOVE;

/**
 * The calls that the words of all `-o` ask for with `type`, as mount(8) would make them:
 * a bind with flags of its own is a bind and a remount. Throws UsageError if they ask
 * for none.
 */
export function hostMountSteps(
  type: string | undefined,
  words: readonly string[],
): HostMountStep[] {
  let flags = 0;
  const own: string[] = [];
  const propagations: number[] = [];
  const all = { set: 0, clear: 0 };
  for (const word of words.flatMap(splitOptions)) {
    const known = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
    const propagation = Object.hasOwn(PROPAGATION, word) ? PROPAGATION[word] : undefined;
    const [, attribute = ""] = RECURSIVE_WORD.exec(word) ?? [];
    const attributes = Object.hasOwn(RECURSIVE, attribute) ? RECURSIVE[attribute] : undefined;
    if (attributes !== undefined) {
      all.set = (all.set & ~attributes[1]) | attributes[0];
      all.clear = (all.clear & ~attributes[0]) | attributes[1];
    } else if (known !== undefined) flags = (flags & ~known[1]) | known[0];
    else if (propagation !== undefined) propagations.push(propagation);
    else if (!/^(x-|X-|_netdev$|nofail$)/.test(word)) own.push(word);
  }
  const data = own.join(",");
  const recursive: HostMountStep[] =
    (all.set | all.clear) === 0
      ? []
      : [{ kind: "attributes", flags: all.set, clears: all.clear, data: "" }];
  const steps = [...firstSteps(type, flags, data), ...recursive, ...propagations.map(change)];
  if (steps.length > 0) return steps;
  throw new UsageError("say what to mount: -t TYPE, or -o bind, move, remount or private …");
}

function firstSteps(type: string | undefined, flags: number, data: string): HostMountStep[] {
  if (flags & F.REMOUNT) return [{ ...change(flags), data }];
  if (flags & F.MOVE) return [{ kind: "move", flags, data: "" }];
  if (flags & F.BIND) {
    const bind: HostMountStep = { kind: "bind", flags: flags & HOW, data: "" };
    const rest = flags & ~HOW & ~F.SILENT;
    return rest === 0 ? [bind] : [bind, change((flags & ~F.REC) | F.REMOUNT)];
  }
  return type === undefined ? [] : [{ kind: "new", flags, data }];
}

function change(flags: number): HostMountStep {
  return { kind: "change", flags, data: "" };
}

/** The words of one `-o`: a comma in quotes divides nothing (mount(8)). */
function splitOptions(list: string): string[] {
  const words = list.match(/(?:"[^"]*"|[^,"])+/g) ?? [];
  return words.map((word) => word.replace(/="([^"]*)"$/, "=$1"));
}
