/**
 * sshfs, by several ways to an OpenSSH sftp-server. Which is the fastest
 * differs from row to row; each row is compared with the best of them.
 * Tried, and no better here than their kind: no_readahead, sshfs_sync, -s, default_permissions (a third slower uncached),
 * sshfs' own cache times, uncached without direct_io.
 */
import { existsSync, writeFileSync } from "node:fs";
import { run } from "../processes.ts";
import type { Contestant, Place, ServerPlan } from "./types.ts";

const SFTP_SERVER = "/usr/lib/openssh/sftp-server";
const GCM = "Ciphers=aes128-gcm@openssh.com";

const UNCACHED = [
  "dir_cache=no,direct_io",
  "attr_timeout=0,entry_timeout=0,negative_timeout=0,ac_attr_timeout=0",
];
/** sshfs asks the server again after these times only; its own defaults are 20 s and 1 s. */
const CACHED = [
  "kernel_cache,dcache_max_size=1000000,dcache_timeout=3600",
  "attr_timeout=3600,entry_timeout=3600,negative_timeout=3600",
];

/** Files of size 0 are read, and read anew, with direct_io alone. */
const PROC = ["direct_io"];
const CACHING = { uncached: UNCACHED, default: CACHED, proc: PROC };

/** The keys of one sshd and its one user. */
async function makeKeys(files: string): Promise<void> {
  if (existsSync(`${files}/user_key.pub`)) return;
  for (const key of ["host_key", "user_key"]) {
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${files}/${key}`], {});
  }
}

function sshd({ files, port }: Place): ServerPlan {
  const lines = [
    ["ListenAddress", "127.0.0.1"],
    ["Port", port],
    ["HostKey", `${files}/host_key`],
    ["AuthorizedKeysFile", `${files}/user_key.pub`],
    ["PermitRootLogin", "yes"],
    ["StrictModes", "no"],
    ["UsePAM", "no"],
    ["UseDNS", "no"],
    ["PidFile", "none"],
    ["Subsystem", `sftp ${SFTP_SERVER}`],
  ];
  writeFileSync(`${files}/sshd_config`, lines.map((line) => `${line.join(" ")}\n`).join(""));
  return {
    command: ["/usr/sbin/sshd", "-D", "-e", "-f", `${files}/sshd_config`],
    listens: { port },
  };
}

function mount(place: Place, options: string[], user = ""): string[] {
  const all = [...options, ...CACHING[place.mode]];
  return [
    ...["sshfs", "-f", `${user}127.0.0.1:${place.tree}`, place.target],
    ...all.flatMap((option) => ["-o", option]),
  ];
}

function overSsh(name: string, note: string, extra: string[]): Contestant {
  return {
    name,
    family: "sshfs",
    note,
    prepare: makeKeys,
    server: sshd,
    mount: (place) =>
      mount(
        place,
        [
          `port=${place.port},IdentityFile=${place.files}/user_key,IdentitiesOnly=yes`,
          "UserKnownHostsFile=/dev/null,StrictHostKeyChecking=no,LogLevel=ERROR",
          ...extra,
        ],
        "root@",
      ),
  };
}

type Make = (name: string, extra: string[]) => Contestant;

/** The same with one connection and with four. */
const both = (name: string, make: Make): Contestant[] => [
  make(`sshfs-${name}`, []),
  make(`sshfs-${name}-x4`, ["max_conns=4"]),
];

/** sshfs contestants; `inetd` is the helper that serves `directport`. */
export function sshfsContestants(inetd: string): Contestant[] {
  return [
    overSsh("sshfs-ssh", "ssh with its default cipher", []),
    ...both("gcm", (name, extra) => overSsh(name, "ssh with aes128-gcm", [GCM, ...extra])),
    ...both("direct", (name, extra) => ({
      name,
      family: "sftp",
      note: "directport: TCP to a bare sftp-server, no encryption",
      server: ({ port }) => ({
        command: [inetd, String(port), SFTP_SERVER],
        listens: { port },
      }),
      mount: (place) => mount(place, [`directport=${place.port}`, ...extra]),
    })),
    ...both("pipe", (name, extra) => ({
      name,
      family: "sftp",
      note: "a bare sftp-server on a unix socket pair, no encryption",
      prepare: async (files) =>
        writeFileSync(`${files}/sftp`, `#!/bin/sh\nexec ${SFTP_SERVER}\n`, { mode: 0o755 }),
      mount: (place) => mount(place, [`ssh_command=${place.files}/sftp`, ...extra]),
    })),
  ];
}
