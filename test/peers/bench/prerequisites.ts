/** What the bench needs of the machine: packages, and two small C programs. */
import { existsSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import type { Programs } from "./contestants/index.ts";
import type { Contestant } from "./contestants/types.ts";
import { run } from "./processes.ts";

const PACKAGES = {
  "openssh-server": "/usr/sbin/sshd",
  "openssh-client": "/usr/bin/ssh",
  sshfs: "/usr/bin/sshfs",
  gcc: "/usr/bin/cc",
  "libfuse3-dev": "/usr/include/linux/fuse.h",
  git: "/usr/bin/git",
};
const INSTALL_TIMEOUT_MS = 300_000;
const PEERS = resolve(import.meta.dir, "..");
/** sshd insists on this empty directory. */
const PRIVILEGE_SEPARATION = "/run/sshd";

/** Installs what is missing, as Debian names it. */
export async function installPackages(): Promise<void> {
  const missing = Object.entries(PACKAGES)
    .filter(([, file]) => !existsSync(file))
    .map(([name]) => name);
  const options = { env: { DEBIAN_FRONTEND: "noninteractive" }, timeoutMs: INSTALL_TIMEOUT_MS };
  if (missing.length > 0) {
    await run(["apt-get", "update"], options);
    await run(["apt-get", "install", "-y", "--no-install-recommends", ...missing], options);
  }
  await run(["mkdir", "-p", PRIVILEGE_SEPARATION], {});
}

/** Builds the floor and the helper of `directport` in `directory`. */
export async function buildHelpers(directory: string): Promise<Omit<Programs, "qtfs">> {
  const sources = readdirSync(`${PEERS}/nullfs`)
    .filter((name) => name.endsWith(".c"))
    .map((name) => `${PEERS}/nullfs/${name}`);
  const helpers = { nullfs: `${directory}/nullfs`, inetd: `${directory}/inetd` };
  const cc = ["cc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o"];
  await run([...cc, helpers.nullfs, ...sources], {});
  await run([...cc, helpers.inetd, `${PEERS}/inetd.c`], {});
  return helpers;
}

/** Fails with a sentence when the run cannot be. */
export function checkPossible(contestants: Contestant[], qtfs: string): void {
  if (process.getuid?.() !== 0) throw new Error("The bench mounts file systems: run it as root");
  if (contestants.some(({ family }) => family === "qtfs") && !existsSync(qtfs)) {
    throw new Error(
      `${qtfs} is missing: run scripts/build first, or leave qtfs out with --only bare,sshfs,floor`,
    );
  }
}
