/**
 * `mount.qtfs`: what mount(8) runs for `-t qtfs` and for fstab, as
 * `/sbin/mount.qtfs SRC TARGET [-sfnv] [-o OPTIONS]`. Its exit codes are
 * mount(8)'s: 1 for wrong arguments, 32 for a mount that failed.
 */
import { UsageError } from "./errors.ts";
import { mountInBackground } from "./mount.ts";
import { knownWords, MOUNT_WORDS, OPTION_ROWS, parseMountOptions } from "./mount-options.ts";
import { program } from "./program.ts";
import { checkTarget } from "./target.ts";

export const mountHelper = program({
  name: "mount.qtfs",
  description:
    "Mounts a directory of the HOST on this machine, for mount(8). People call qtfs mount.",
  examples: [
    { command: "mount -t qtfs -o ro /srv /mnt", does: "Runs mount.qtfs /srv /mnt -o ro." },
    {
      command: "/srv /mnt qtfs server=tcp://10.0.0.1:7000,insecure,_netdev,nofail 0 0",
      does: "A line of /etc/fstab.",
    },
  ],
  args: {
    ...MOUNT_WORDS,
    sloppy: { type: "boolean", alias: "s", description: "Passes over unknown mount options." },
    fake: { type: "boolean", alias: "f", description: "Checks everything, mounts nothing." },
    "skip-mtab": { type: "boolean", alias: "n", description: "No meaning: there is no mtab." },
    verbose: { type: "boolean", alias: "v", description: "Says what was mounted." },
    type: { type: "string", alias: "t", valueHint: "TYPE", description: "qtfs or fuse.qtfs." },
  },
  repeatable: ["options"],
  sections: [{ title: "MOUNT OPTIONS (-o)", rows: OPTION_ROWS }],
  exitCodes: { failed: 32, usage: 1 },
  run: async ({ src, target, sloppy, fake, verbose, type }, lists) => {
    if (type !== undefined && !/(^|\.)qtfs$/.test(type)) {
      throw new UsageError(`type ${type} is not for mount.qtfs`);
    }
    const words = sloppy ? knownWords(lists.options ?? []) : (lists.options ?? []);
    parseMountOptions(words);
    if (fake) checkTarget(target);
    else await mountInBackground(src, target, words);
    if (verbose) process.stdout.write(`mount.qtfs: ${src} is mounted at ${target}\n`);
    return 0;
  },
});
