/** `qtfs mount` */
import { openSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { createLog, LOG_LEVELS, type LogLevel } from "../info/log.ts";
import { mounts } from "../info/mountinfo.ts";
import { printable } from "../info/printable.ts";
import { adoptHere, successorWords } from "./adopt.ts";
import { ownCommand, reportOutcome, startInBackground } from "./background.ts";
import { sentenceOf, UsageError } from "./errors.ts";
import { procWarnings } from "./local-proc.ts";
import type { Listener } from "./mount-daemon.ts";
import { MOUNT_WORDS, OPTION_ROWS, parseMountOptions } from "./mount-options.ts";
import { program } from "./program.ts";
import { goOnWithStored, hasStore, storedMount, storeMount } from "./store.ts";
import { type TakeOver, takesOver } from "./takeover.ts";
import { checkTarget } from "./target.ts";

/** What starting, connecting and mounting take beside the wait for a silent server. */
const START_MARGIN_MS = 15_000;

export const mount = program({
  name: "qtfs mount",
  description:
    "Mounts a directory of the HOST on this machine, the DPU. Returns when the mount is usable " +
    "and leaves a process that serves it; umount TARGET ends both.",
  examples: [
    { command: "qtfs mount /srv /mnt", does: "The HOST's /srv at /mnt." },
    { command: "qtfs mount -o ro,noexec /srv /mnt", does: "To look at only." },
    {
      command: "qtfs mount -o server=tcp://10.0.0.1:7000,insecure /srv /mnt",
      does: "Over TCP, on a network that you trust.",
    },
    {
      command: "mount -t qtfs -o ro /srv /mnt",
      does: "The same through mount(8) and fstab, once /sbin/mount.qtfs is a symlink to qtfs.",
    },
    {
      command: "qtfs mount --on-server -t tmpfs -o size=64m tmpfs /mnt/tmp",
      does: "Mounts on the HOST, at its /srv/tmp; seen here at /mnt/tmp.",
    },
  ],
  args: {
    ...MOUNT_WORDS,
    "on-server": {
      type: "boolean",
      description:
        "Mounts on the HOST: TARGET is below a mount of qtfs, SRC and OPTIONS are those of " +
        "mount(8). The server has to allow the class sysmount.",
    },
    type: {
      type: "string",
      alias: "t",
      valueHint: "TYPE",
      description: "With --on-server: the file system's type.",
    },
    foreground: {
      type: "boolean",
      alias: "f",
      description:
        "Stays, logs to stderr, unmounts on SIGTERM and SIGINT. For systemd: Type=notify.",
    },
    "log-file": {
      type: "string",
      valueHint: "FILE",
      description:
        "Appends the background process's log to FILE. Without it the last lines are kept " +
        "in memory for qtfs info --log.",
    },
    "log-level": {
      type: "enum",
      options: [...LOG_LEVELS],
      valueHint: "LEVEL",
      description: `${LOG_LEVELS.join(", ")}. Default: info`,
    },
    takeover: {
      type: "boolean",
      description:
        "Replaces the process of the mount that is there by this program, such as a newer " +
        "release; callers wait a moment. The same command again does so, too.",
    },
    report: { type: "boolean", description: "The process in the background has it." },
    adopt: { type: "boolean", description: "The process that takes over has it." },
  },
  repeatable: ["options"],
  hidden: ["report", "adopt"],
  sections: [{ title: "MOUNT OPTIONS (-o)", rows: OPTION_ROWS }],
  run: async (args, lists) => {
    const words = lists.options ?? [];
    if (args["on-server"]) {
      const { mountOnServer } = await import("./host-mount.ts");
      const { src: source, target, type } = args;
      await mountOnServer({ type, options: words, source, target });
      return 0;
    }
    if (args.type !== undefined) throw new UsageError("--type is for --on-server");
    const level = (args["log-level"] as LogLevel) ?? "info";
    if (args.adopt) return await adoptHere(args.src, args.target, level);
    if (args.report) return await mountHere(args.src, args.target, words, level, TO_PARENT);
    if (!args.foreground) {
      const mayTakeOver = args.takeover ? "must" : "may";
      const logFile = args["log-file"];
      return await mountInBackground(args.src, args.target, words, level, logFile, mayTakeOver);
    }
    if (args["log-file"] !== undefined) throw new UsageError("-f logs to stderr, not to a file");
    return await mountHere(args.src, args.target, words, level, TO_USER);
  },
});

/** In the foreground, where warnings are in the log. */
const TO_USER: Listener = {
  ready: () => {},
  failed: (error) => writeSync(2, `qtfs mount: ${sentenceOf(error)}\n`),
};

/** In the background. */
const TO_PARENT: Listener = {
  ready: (warnings) => reportOutcome({ ready: true, warnings }),
  failed: (error) => reportOutcome({ error: sentenceOf(error) }),
};

function checkSource(source: string): void {
  if (!source.startsWith("/")) throw new UsageError(`SRC must be an absolute path, not ${source}`);
}

/** Mounts, and returns 0 when the mount is usable. */
export async function mountInBackground(
  source: string,
  target: string,
  words: readonly string[],
  level: LogLevel = "info",
  logFile?: string,
  mayTakeOver: TakeOver = "never",
): Promise<number> {
  checkSource(source);
  const { servers, timeoutMs } = parseMountOptions(words);
  if (await takesOver(source, servers, target, mayTakeOver)) return 0;
  const real = checkTarget(target);
  const options = words.flatMap((word) => ["-o", word]);
  const args = ["mount", "--report", ...options, "--log-level", level, "--", source, real];
  const logFd = logFile === undefined ? undefined : openLog(resolve(logFile));
  const warnings = await startInBackground(args, logFd, timeoutMs + START_MARGIN_MS);
  for (const warning of warnings) process.stderr.write(`qtfs mount: ${printable(warning)}\n`);
  return 0;
}

function openLog(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw new Error(`Cannot log to ${path}: ${(error as Error).message}`);
  }
}

/** Mounts and serves in this process until the mount ends. */
async function mountHere(
  source: string,
  target: string,
  words: readonly string[],
  level: LogLevel,
  listener: Listener,
): Promise<number> {
  checkSource(source);
  const settings = parseMountOptions(words);
  const isForeground = listener === TO_USER;
  const kept = isForeground ? storedMount() : undefined;
  if (kept === undefined) await takesOver(source, settings.servers, target, "never");
  const real = kept === undefined ? checkTarget(target) : resolve(target);
  const { serveMount } = await import("./mount-daemon.ts");
  const { startMount } = await import("../client/daemon.ts");
  const log = createLog(level);
  const successor = successorWords(source, real, level);
  // In the foreground somebody else looks after the process.
  const command = isForeground ? [] : [...ownCommand(), ...successor];
  const store = isForeground && hasStore() ? storeMount : undefined;
  const own = { successor: command, store, twins: ownCommand(), log: log.write };
  const options = { fsname: source, ...settings, source, target: real, ...own };
  const make = () => startMount(options);
  const start = kept === undefined ? make : () => goOnWithStored(kept, real, own, make);
  const warnings = () => (settings.proc ? procWarnings(real, mounts()) : []);
  return await serveMount({ source, target: real, start, successor, warnings }, log, listener);
}
