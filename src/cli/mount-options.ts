/** The options of `-o`: ours, those of mount(8) that mean something here, and those to pass over. */
import type { ArgsDef } from "citty";
import type { MountOptions } from "../client/options.ts";
import { suggestion } from "../config/suggest.ts";
import { addressesIn } from "../identity/client.ts";
import { type Address, DEFAULT_SERVER, formatAddress, parseAddress } from "../transport/address.ts";
import { UsageError } from "./errors.ts";

/** The words of `qtfs mount` and of mount.qtfs. */
export const MOUNT_WORDS = {
  src: {
    type: "positional",
    required: true,
    description: "Absolute path of a directory on the HOST.",
  },
  target: { type: "positional", required: true, description: "The directory here to mount at." },
  options: {
    type: "string",
    alias: "o",
    valueHint: "OPTIONS",
    description: "Mount options, separated by commas; repeatable.",
  },
} as const satisfies ArgsDef;

/** What `-o` settles; the rest of MountOptions comes from the other arguments. */
export type MountSettings = Omit<
  MountOptions,
  "source" | "target" | "log" | "fsname" | "successor" | "twins"
> & { fsname?: string };

interface Option {
  /** With a value: its name in the help. */
  value?: string;
  /** Absent for the opposite of an option that is explained. */
  text?: string;
  /** Whether it may be given several times, each time with another value. */
  isList?: boolean;
  apply(settings: MountSettings, value: string): void;
}

const TIMEOUT_DEFAULT_S = 30;
const TIMEOUT_MAX_S = 86_400;
const FSNAME_BYTES_MAX = 255;
const CACHES: readonly string[] = ["never", "auto", "always"] satisfies MountOptions["cache"][];

/** What an option without a value does. */
function set(patch: Partial<MountSettings>): Option["apply"] {
  return (settings) => Object.assign(settings, patch);
}

const OPTIONS: Readonly<Record<string, Option>> = {
  server: {
    value: "ADDR",
    text:
      "Where the server listens; given several times, addresses of the same server that are " +
      `tried in turn. Default: ${formatAddress(DEFAULT_SERVER)}`,
    isList: true,
    apply: (settings, value) => {
      settings.servers.push(parseAddress(value));
    },
  },
  ro: {
    text: "Read only. Default: rw, as far as the server allows it.",
    apply: set({ readOnly: true }),
  },
  rw: {
    apply: set({ readOnly: false }),
  },
  cache: {
    value: "MODE",
    text:
      "never: every call asks the server. auto (default): what the server can watch is believed " +
      "until it tells of a change; other names and attributes for a second, other data until the " +
      "file is opened again. always: everything is believed for a day, watched or not; only for " +
      "trees that nobody else changes.",
    apply: (settings, value) => {
      if (!CACHES.includes(value)) {
        throw new Error(`it is ${CACHES.join(", ")}, not "${value}"`);
      }
      settings.cache = value as MountOptions["cache"];
    },
  },
  proc: {
    text:
      "For a HOST's /proc: self, thread-self and the processes of the chroot that has the mount " +
      "as its /proc are this machine's, all else is the HOST's. They lead to this machine's own " +
      "procfs, which has to be mounted there too, at /local_proc.",
    apply: set({ proc: true }),
  },
  suid: {
    text:
      "Honours set-user-id bits and file capabilities. A hostile HOST can then hand out " +
      "programs that run as root here. Default: nosuid.",
    apply: set({ suid: true }),
  },
  nosuid: {
    apply: set({ suid: false }),
  },
  dev: {
    text:
      "Lets device files of the HOST open this machine's devices. A hostile HOST can then give " +
      "users the disks and the memory. Default: nodev.",
    apply: set({ dev: true, deviceFiles: false }),
  },
  nodev: {
    apply: set({ dev: false, deviceFiles: false }),
  },
  "dev=server": {
    text:
      "Opens devices on the HOST, if the server allows the class device: they are shown as files " +
      "here, so programs cannot tell their type and numbers. Whoever may open one uses the HOST's.",
    apply: set({ dev: false, deviceFiles: true }),
  },
  "symlinks=contain": {
    text:
      "Refuses (EACCES) symbolic links that could lead out of the mount: absolute ones, and all " +
      "that go up (..). Others lead to what is below their directory. For a HOST that is not " +
      "trusted. Default: symlinks=follow, as on every mount.",
    apply: set({ containsLinks: true }),
  },
  "symlinks=follow": {
    apply: set({ containsLinks: false }),
  },
  noexec: {
    text: "Runs no programs from the mount. Default: exec.",
    apply: set({ noexec: true }),
  },
  exec: {
    apply: set({ noexec: false }),
  },
  noatime: {
    text: "Does not keep times of access. Default: atime, as the HOST's file system does.",
    apply: set({ noatime: true }),
  },
  atime: {
    apply: set({ noatime: false }),
  },
  flat: {
    text:
      "Shows what the HOST has mounted below SRC as directories of this one file system. Default: " +
      "as mounts at the same places, with device numbers of their own (umount -R TARGET).",
    apply: set({ flat: true }),
  },
  hard: {
    text: "Waits for a silent server for ever: nothing fails, and what waits may have to be killed.",
    apply: set({ hard: true }),
  },
  timeout: {
    value: "SECONDS",
    text: `How long to wait for a silent server before calls fail. Default: ${TIMEOUT_DEFAULT_S}`,
    apply: (settings, value) => {
      const seconds = Number(value);
      if (!/^\d+(\.\d+)?$/.test(value) || seconds <= 0 || seconds > TIMEOUT_MAX_S) {
        throw new Error(`it is a number of seconds up to ${TIMEOUT_MAX_S}, not "${value}"`);
      }
      settings.timeoutMs = seconds * 1000;
    },
  },
  identity: {
    value: "FILE",
    text:
      "For tcp://: this machine's key and certificate, as the server has enrolled it; where the " +
      "file names the server's address, server= can be left out.",
    apply: (settings, value) => {
      if (!value.startsWith("/")) throw new Error("it is an absolute path");
      settings.identity = value;
    },
  },
  insecure: {
    text:
      "Allows tcp://, where nobody is authenticated and nothing is encrypted: whoever controls " +
      "the network controls the files.",
    apply: set({ insecure: true }),
  },
  noallow_other: {
    text: "Only the user who mounts may enter. Default: allow_other, everyone by the files' modes.",
    apply: set({ allowOther: false }),
  },
  allow_other: {
    apply: set({ allowOther: true }),
  },
  fsname: {
    value: "NAME",
    text: "The source that /proc/mounts shows. Default: SRC.",
    apply: (settings, value) => {
      if (value === "" || Buffer.byteLength(value) > FSNAME_BYTES_MAX) {
        throw new Error(`it has 1 to ${FSNAME_BYTES_MAX} bytes`);
      }
      settings.fsname = value;
    },
  },
};

/**
 * What fstab(5) and mount(8) add for themselves. What `user` implies (noexec,
 * nosuid, nodev) mount(8) passes on by name.
 */
const PASSED_OVER: ReadonlySet<string> = new Set([
  ...["defaults", "auto", "noauto", "user", "nouser", "users", "nousers", "owner", "noowner"],
  ...["group", "nogroup", "_netdev", "nofail", "comment", "relatime", "async"],
]);
const PASSED_OVER_PREFIX = /^[xX]-/;

/** Rows of the help. */
export const OPTION_ROWS = Object.entries(OPTIONS).flatMap(([name, { value, text }]) =>
  text === undefined ? [] : [[value === undefined ? name : `${name}=${value}`, text] as const],
);

/**
 * Reads the words of all `-o`, in their order: of contrary ones the last counts,
 * as in mount(8). An unknown one is a UsageError.
 */
export function parseMountOptions(words: readonly string[]): MountSettings {
  const settings: MountSettings = {
    servers: [],
    readOnly: false,
    cache: "auto",
    proc: false,
    suid: false,
    dev: false,
    deviceFiles: false,
    containsLinks: false,
    noexec: false,
    noatime: false,
    flat: false,
    insecure: false,
    timeoutMs: TIMEOUT_DEFAULT_S * 1000,
    hard: false,
    allowOther: true,
  };
  const seen = new Map<string, string>();
  for (const word of split(words)) applyWord(settings, word, seen);
  settings.servers = serversOf(settings);
  return settings;
}

/** Where the server is, and as whom: what was named, or what the identity says, or the default. */
function serversOf({ identity, servers }: MountSettings): Address[] {
  const known = identity !== undefined && servers.length === 0 ? addressesIn(identity) : servers;
  if (known.length === 0) return [DEFAULT_SERVER];
  if (identity === undefined) return known;
  return known.map((address) => (address.kind === "tcp" ? { ...address, identity } : address));
}

/** The words without unknown ones (mount -s). */
export function knownWords(words: readonly string[]): string[] {
  return split(words).filter((word) => Object.hasOwn(OPTIONS, word.split("=", 1)[0] as string));
}

function split(words: readonly string[]): string[] {
  return words.flatMap((list) => list.split(",")).filter((word) => word !== "");
}

function applyWord(settings: MountSettings, word: string, seen: Map<string, string>): void {
  const equals = Object.hasOwn(OPTIONS, word) ? -1 : word.indexOf("=");
  const name = equals === -1 ? word : word.slice(0, equals);
  const value = equals === -1 ? undefined : word.slice(equals + 1);
  if (PASSED_OVER.has(name) || PASSED_OVER_PREFIX.test(name)) return;
  if (name === "remount") throw new UsageError("a qtfs mount cannot be remounted, umount it first");
  const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
  if (option === undefined) {
    throw new UsageError(`unknown mount option ${name}${suggestion(name, Object.keys(OPTIONS))}`);
  }
  const needsValue = option.value !== undefined;
  if (needsValue !== (value !== undefined)) {
    throw new UsageError(`mount option ${name} ${needsValue ? "needs a value" : "takes no value"}`);
  }
  const isAnother = value !== undefined && (seen.get(name) ?? value) !== value;
  if (isAnother && option.isList !== true) {
    throw new UsageError(`mount option ${name} is given twice`);
  }
  seen.set(name, value ?? "");
  try {
    option.apply(settings, value ?? "");
  } catch (error) {
    throw new UsageError(`mount option ${name}: ${(error as Error).message}`);
  }
}
