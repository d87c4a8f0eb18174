/** `qtfs umount` */
import { resolve } from "node:path";
import { cstring } from "../sys/cstring.ts";
import { errnoText } from "../sys/errno.ts";
import { MNT_DETACH, MNT_FORCE, umount2 } from "../sys/mount.ts";
import { UmountFlag } from "../wire/constants.ts";
import { program } from "./program.ts";

export const umount = program({
  name: "qtfs umount",
  description:
    "Unmounts TARGET: a mount of qtfs on this machine, as umount(8) does, or with --on-server " +
    "what is mounted there on the HOST.",
  examples: [
    { command: "qtfs umount /mnt", does: "Ends the mount at /mnt, and its process." },
    { command: "qtfs umount --on-server /mnt/tmp", does: "Unmounts what the HOST has there." },
  ],
  args: {
    target: { type: "positional", required: true, description: "Where it is mounted." },
    "on-server": {
      type: "boolean",
      description: "Unmounts on the HOST; the server has to allow the class sysmount.",
    },
    lazy: {
      type: "boolean",
      alias: "l",
      description: "Takes it out of the tree at once, and ends it when nobody uses it any more.",
    },
    force: { type: "boolean", alias: "f", description: "Gives up what waits for a silent server." },
  },
  run: async ({ target, lazy, force, "on-server": onServer }) => {
    if (onServer) {
      const flags = (lazy ? UmountFlag.DETACH : 0) | (force ? UmountFlag.FORCE : 0);
      const { umountOnServer } = await import("./host-mount.ts");
      await umountOnServer(target, flags);
      return 0;
    }
    const flags = (lazy ? MNT_DETACH : 0) | (force ? MNT_FORCE : 0);
    const result = umount2(cstring(resolve(target)), flags);
    if (result < 0) throw new Error(`Cannot unmount ${target}: ${errnoText(result)}`);
    return 0;
  },
});
