/** `qtfs rexec-server` */
import type { RexecServerConfig } from "../config/rexec.ts";
import { DEFAULT_DIRECTORY, findIdentities } from "../identity/directory.ts";
import { createLog, LOG_LEVELS, type Log, type LogLevel } from "../info/log.ts";
import { type RexecServerOptions, startRexecServer } from "../rexec/server/daemon.ts";
import { bytePattern } from "../rexec/server/patterns.ts";
import type { Rule } from "../rexec/server/rules.ts";
import { VMADDR_CID_HOST } from "../sys/sockaddr.ts";
import { type Address, DEFAULT_REXEC, formatAddress } from "../transport/address.ts";
import { readAddress, readCid } from "./address.ts";
import { ownCommand } from "./background.ts";
import { serveInfo } from "./daemon.ts";
import { UsageError } from "./errors.ts";
import { orElse, readUid, serveUntilStopped } from "./listener.ts";
import { type Lists, program } from "./program.ts";

const MS_PER_S = 1000;

const CONFIG_SAMPLE = [
  'listen = ["unix:///run/qtfs/rexec.sock"]',
  "allow_uids = [0]",
  "allow_cids = [2]",
  'identities = "/etc/qtfs/tls"',
  "insecure = false",
  "lease_s = 60          # how long programs outlive a lost connection",
  'log_level = "info"',
  "",
  'cgroup_parent = "/sys/fs/cgroup/qtfs"',
  "",
  "[[allow]]             # as often as needed, the first that fits counts; without one, see --allow",
  'name = "shims"        # in the log',
  'users = ["ops", 1000] # clients of unix sockets; all who may connect without it',
  "tcp = false           # true: whoever reaches a tcp:// port, too; needs as",
  'program = "/usr/bin/containerd-shim-*"',
  'args = ["-namespace", "moby", "..."]   # or one text for all, joined by blanks',
  'as = "root"           # "*", the default: as the client, root as it likes',
  'env_pass = ["LANG", "LC_*"]',
  'env_set = { PATH = "/usr/bin:/bin" }',
  'cwd = "/"',
  "max = 100             # at once",
  'limits = { nofile = 4096, as = "2G", core = "0:unlimited" }',
  'cgroup = "shims"      # beneath cgroup_parent, or an absolute path',
  "timeout_s = 3600",
  'on_lost = "keep"      # or terminate: when the client is away for longer than lease_s',
];

export const rexecServer = program({
  name: "qtfs rexec-server",
  description:
    "Runs programs of this machine for qtfs rexec of another. Stays in the foreground until " +
    "SIGINT, and ends what it runs then, or SIGTERM: programs go on, and the next one that is " +
    "started with the same --listen within the lease (60 s) has them again, also after a kill. " +
    "Tells systemd when it is ready (Type=notify). Root may run everything over the unix socket, as any user; others only " +
    "where --allow-uid says so, and as themselves.",
  examples: [
    { command: "qtfs rexec-server", does: `Serves root at ${formatAddress(DEFAULT_REXEC)}.` },
    {
      command:
        "qtfs rexec-server --listen tcp://10.0.0.1:7001 --insecure --allow '/usr/bin/containerd-shim-*'",
      does: "Over TCP, on a network where every machine is trusted to run these as any user.",
    },
  ],
  args: {
    listen: {
      type: "string",
      valueHint: "ADDR",
      description: `unix:///PATH, tcp://HOST:PORT, vsock://CID:PORT (any:PORT for all numbers that this machine has) or pcie://FILE-OR-DEVICE[:PORT]; repeatable. Default: CMD_NET_ADDR of the environment, or ${formatAddress(DEFAULT_REXEC)}`,
    },
    allow: {
      type: "string",
      valueHint: "PATTERN",
      description:
        "Allows programs whose path, free of symbolic links, matches (* any text, ? any " +
        "character), and no others; repeatable. Needed for all but unix://.",
    },
    "allow-uid": {
      type: "string",
      valueHint: "UID",
      description:
        "Lets this user connect to unix sockets, and run programs as itself; repeatable.",
    },
    "allow-cid": {
      type: "string",
      valueHint: "CID",
      description:
        "Lets root of the machine with this number connect by vsock, or of any machine, and run " +
        "what --allow names; repeatable. Default: 2, this virtual machine's host.",
    },
    identities: {
      type: "string",
      valueHint: "DIR",
      description:
        "Where enrolled clients are known (qtfs server enroll --allow): they are let in at tcp:// by " +
        `TLS. Default: ${DEFAULT_DIRECTORY}`,
    },
    config: {
      type: "string",
      valueHint: "FILE",
      description: "Reads settings from FILE, see below; what is given here replaces the file's.",
    },
    insecure: {
      type: "boolean",
      description:
        "Allows tcp://, where nobody is authenticated and nothing is encrypted: everybody who " +
        "reaches the port may run what --allow names, as root.",
    },
    "log-level": {
      type: "enum",
      options: [...LOG_LEVELS],
      valueHint: "LEVEL",
      description: `${LOG_LEVELS.join(", ")}. Default: info`,
    },
  },
  repeatable: ["listen", "allow", "allow-uid", "allow-cid"],
  sections: [{ title: "CONFIGURATION FILE (TOML)", lines: CONFIG_SAMPLE }],
  run: async (args, lists) => {
    const config = args.config === undefined ? {} : await readConfig(args.config);
    const log = createLog((args["log-level"] as LogLevel) ?? config.logLevel ?? "info");
    const options = serverOptions(config, args.insecure === true, lists, log);
    const identities = findIdentities(args.identities ?? config.identities);
    return await serve({ ...options, ...(identities !== undefined && { identities }) }, log);
  },
});

async function readConfig(path: string): Promise<RexecServerConfig> {
  const { readRexecConfig } = await import("../config/rexec.ts");
  return readRexecConfig(path);
}

/** The command line's settings, the file's where it has none, the defaults last. */
function serverOptions(
  config: RexecServerConfig,
  insecure: boolean,
  lists: Lists,
  log: Log,
): RexecServerOptions {
  const { leaseS } = config;
  const given = lists.allow?.map((pattern): Rule => {
    return { name: pattern, program: readPattern(pattern), tcp: true };
  });
  const rules: Rule[] = orElse(given, config.rules ?? []);
  return {
    listen: orElse(lists.listen?.map(readAddress), config.listen ?? defaultListen()),
    rules,
    insecure: insecure || config.insecure === true,
    uids: [
      process.geteuid?.() ?? 0,
      ...orElse(lists["allow-uid"]?.map(readUid), config.allowUids ?? []),
      ...rules.flatMap(({ users }) => users ?? []),
    ],
    cids: orElse(lists["allow-cid"]?.map(readCid), config.allowCids ?? [VMADDR_CID_HOST]),
    command: ownCommand(),
    ...(leaseS !== undefined && { leaseMs: leaseS * MS_PER_S }),
    log: log.write,
  };
}

/** Where the seed's documents have it listen, too. */
function defaultListen(): Address[] {
  const given = process.env.CMD_NET_ADDR ?? "";
  return [given === "" ? DEFAULT_REXEC : readAddress(given)];
}

function readPattern(text: string): string {
  if (/^[/*]/.test(text)) return bytePattern(text);
  throw new UsageError(`pattern "${text}" is no absolute path`);
}

function serve(options: RexecServerOptions, log: Log): Promise<never> {
  const daemon = startRexecServer(options);
  const snapshot = () => daemon.snapshot();
  const control = serveInfo({ kind: "rexec-server", log, snapshot });
  return serveUntilStopped(daemon, control, options.listen, log);
}
