/** `qtfs server` */

import type { ServerConfig } from "../config/server.ts";
import { DEFAULT_DIRECTORY, findIdentities } from "../identity/directory.ts";
import { createLog, LOG_LEVELS, type Log, type LogLevel } from "../info/log.ts";
import { reports } from "../info/query.ts";
import { isServer } from "../info/report.ts";
import {
  REACTORS_MAX,
  type ServerDaemon,
  type ServerOptions,
  startServer,
} from "../server/daemon.ts";
import { recordDirectory } from "../server/record/store.ts";
import { VMADDR_CID_HOST } from "../sys/sockaddr.ts";
import { type Address, DEFAULT_SERVER, formatAddress } from "../transport/address.ts";
import { readAddress, readCid } from "./address.ts";
import { ownCommand } from "./background.ts";
import { serveInfo } from "./daemon.ts";
import { UsageError } from "./errors.ts";
import { readExport } from "./export-option.ts";
import { orElse, readUid, serveUntilStopped } from "./listener.ts";
import { type Lists, program } from "./program.ts";
import { replaceSelf } from "./replace.ts";

const CONFIG_SAMPLE = [
  'listen = ["unix:///run/qtfs/server.sock"]',
  "allow_uids = [0]",
  "allow_cids = [2]",
  "insecure = false",
  'identities = "/etc/qtfs/tls"',
  'log_level = "info"',
  'state_dir = "/run/qtfs/sessions"',
  "threads = 4",
  "",
  "[[export]]            # as often as there are exports",
  'path = "/srv"',
  "read_only = false",
  'allow = ["sysmount"]  # beside using files; nothing by default',
  "magic_links = false   # /proc/PID/root and the like lead anywhere; true by default",
  "                      # for /proc and / where they may be written to",
  "",
  "[[policy]]            # for a type of file systems, or for a directory and all below it",
  'type = "nfs"          # or: path = "/srv/state"',
  'policy = "watched"    # see below',
];

const POLICIES = [
  "How long clients believe what they know of the HOST's files, by the type of the file",
  "system, as statfs(2) tells it; qtfs info TARGET shows what there is and what holds.",
  "  live     asked each time: proc, sysfs, cgroup, debugfs ... and unknown types",
  "  watched  until the HOST's kernel tells of a change: ext4, xfs, tmpfs, overlay ...;",
  "           for a second where it cannot be watched",
  "  short    for a second: nfs, cifs, ceph, fuse ..., which others change as well",
];

export const server = program({
  name: "qtfs server",
  description:
    "Exports directories of this machine, the HOST. Stays in the foreground until SIGTERM, and " +
    "leaves connections to sockets to the next one with the same --listen, or SIGINT; tells systemd when it is ready (Type=notify). Whoever may connect acts with any " +
    "user's rights beneath the exports, so a socket is for root alone unless you say otherwise.",
  examples: [
    {
      command: "qtfs server --export /srv",
      does: `Offers /srv at ${formatAddress(DEFAULT_SERVER)}.`,
    },
    { command: "qtfs server --export /srv --export /usr/share:ro", does: "Two, one read only." },
    { command: "qtfs server --config /etc/qtfs/server.toml", does: "Everything from a file." },
    {
      command: "qtfs server enroll web1 --address tcp://10.0.0.1:7000",
      does: "Writes web1.identity, for that machine to mount with (-o identity=); see its --help.",
    },
    {
      command: "qtfs server --listen tcp://10.0.0.1:7000 --export /srv",
      does: "Over TCP with TLS 1.3, for machines that are enrolled.",
    },
  ],
  args: {
    listen: {
      type: "string",
      valueHint: "ADDR",
      description: `unix:///PATH, tcp://HOST:PORT, vsock://CID:PORT (any:PORT for all numbers that this machine has) or pcie://FILE-OR-DEVICE[:PORT]; repeatable. Default: ${formatAddress(DEFAULT_SERVER)}`,
    },
    export: {
      type: "string",
      valueHint: "PATH[:ro|:rw[,CLASS]…]",
      description:
        "A directory to export, with :ro read only; repeatable. A CLASS lets clients do more than " +
        "use files: sysmount mounts and unmounts on the HOST, beneath PATH (whoever may that " +
        "reaches all of the HOST), device opens the HOST's devices, ioctl controls them, " +
        "process signals the HOST's processes, names uses its abstract names of unix sockets.",
    },
    config: {
      type: "string",
      valueHint: "FILE",
      description: "Reads settings from FILE, see below; what is given here replaces the file's.",
    },
    "allow-uid": {
      type: "string",
      valueHint: "UID",
      description:
        "Lets processes of this user connect to unix sockets too; repeatable. Such a user can " +
        "do in the exports whatever root can.",
    },
    "allow-cid": {
      type: "string",
      valueHint: "CID",
      description:
        "Lets root of the machine with this number connect by vsock, or of any machine; " +
        "repeatable. Default: 2, this virtual machine's host.",
    },
    insecure: {
      type: "boolean",
      description:
        "At tcp:// nobody is authenticated and nothing is encrypted: everybody who reaches the " +
        "port is root in the exports.",
    },
    identities: {
      type: "string",
      valueHint: "DIR",
      description:
        "Where enrolled clients are known (qtfs server enroll): they are let in at tcp:// by TLS. " +
        `Default: ${DEFAULT_DIRECTORY}`,
    },
    "state-dir": {
      type: "string",
      valueHint: "DIR",
      description:
        "Where sessions outlive this process: one that is started again with the same addresses " +
        "goes on with them. A directory of this user alone, on a tmpfs. Default: " +
        "/run/qtfs/sessions, or one in /dev/shm where that is on a disk.",
    },
    threads: {
      type: "string",
      valueHint: "N",
      description:
        `Has at most N threads serve clients, each a processor's worth at most and its share of ` +
        `them; fewer take less of this machine's processors for the same. Default: ${REACTORS_MAX}`,
    },
    "log-level": {
      type: "enum",
      options: [...LOG_LEVELS],
      valueHint: "LEVEL",
      description: `${LOG_LEVELS.join(", ")}. Default: info`,
    },
  },
  repeatable: ["listen", "export", "allow-uid", "allow-cid"],
  sections: [
    { title: "CONFIGURATION FILE (TOML)", lines: CONFIG_SAMPLE },
    { title: "POLICIES", lines: POLICIES },
  ],
  run: async (args, lists) => {
    const config = args.config === undefined ? { exports: [] } : await readConfig(args.config);
    const log = createLog((args["log-level"] as LogLevel) ?? config.logLevel ?? "info");
    const options = serverOptions(config, args.insecure === true, lists, log);
    const identities = findIdentities(args.identities ?? config.identities);
    if (identities !== undefined) options.identities = identities;
    const reactors = args.threads === undefined ? config.threads : readThreads(args.threads);
    if (reactors !== undefined) options.reactors = reactors;
    const records = keepRecords(args["state-dir"] ?? config.stateDir, log);
    if (records !== undefined) {
      options.records = records;
      options.replace = () => replaceSelf((text) => log.write("warn", text));
    }
    return await serve(await start(options), options, log);
  },
});

/** The directory for records: one that was asked for must do, without the default we do without. */
function keepRecords(wanted: string | undefined, log: Log): string | undefined {
  try {
    return recordDirectory(wanted);
  } catch (error) {
    if (wanted !== undefined) throw error;
    log.write("warn", `${(error as Error).message}: sessions end with this process`);
    return undefined;
  }
}

function readThreads(text: string): number {
  const threads = Number(text);
  if (/^\d+$/.test(text) && threads >= 1 && threads <= REACTORS_MAX) return threads;
  throw new UsageError(`--threads takes a number from 1 to ${REACTORS_MAX}, not "${text}"`);
}

async function readConfig(path: string): Promise<ServerConfig> {
  const { readServerConfig } = await import("../config/server.ts");
  return readServerConfig(path);
}

/** The command line's settings, the file's where it has none, the defaults last. */
function serverOptions(
  config: ServerConfig,
  insecure: boolean,
  lists: Lists,
  log: Log,
): ServerOptions {
  const listen = orElse(lists.listen?.map(readAddress), config.listen ?? [DEFAULT_SERVER]);
  const exports = orElse(lists.export?.map(readExport), config.exports);
  const uids = orElse(lists["allow-uid"]?.map(readUid), config.allowUids ?? []);
  if (exports.length === 0) throw new UsageError("nothing to export, give --export PATH");
  const twice = exports.find(({ path }, i) => exports.findIndex((e) => e.path === path) < i);
  if (twice !== undefined) throw new UsageError(`${twice.path} is exported twice`);
  const own = process.geteuid?.() ?? 0;
  return {
    listen,
    exports,
    policies: config.policies ?? [],
    insecure: insecure || config.insecure === true,
    uids: [...new Set([own, ...uids])],
    cids: orElse(lists["allow-cid"]?.map(readCid), config.allowCids ?? [VMADDR_CID_HOST]),
    command: ownCommand(),
    log: log.write,
  };
}

async function start(options: ServerOptions): Promise<ServerDaemon> {
  try {
    return startServer(options);
  } catch (error) {
    const holder = await holderOf(options.listen);
    throw holder === undefined ? error : new Error(`${(error as Error).message}: ${holder}`);
  }
}

/** Says which other server of this machine listens at one of the addresses. */
async function holderOf(listen: readonly Address[]): Promise<string | undefined> {
  const wanted = listen.map(formatAddress);
  const others = await reports().catch(() => []);
  for (const report of others) {
    if (!isServer(report)) continue;
    const address = report.listen.find((one) => wanted.includes(one));
    if (address !== undefined) return `the qtfs server with pid ${report.pid} is at ${address}`;
  }
  return undefined;
}

function serve(daemon: ServerDaemon, options: ServerOptions, log: Log): Promise<never> {
  const control = serveInfo({ kind: "server", log, snapshot: () => daemon.snapshot() });
  return serveUntilStopped(daemon, control, options.listen, log);
}
