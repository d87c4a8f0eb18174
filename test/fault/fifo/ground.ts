/** Two directories that are one: a share and its mount, or twice the same. */
import { unlinkSync } from "node:fs";
import { cstring } from "../../../src/sys/cstring.ts";
import { AT_FDCWD } from "../../../src/sys/open.ts";
import { S_IFIFO } from "../../../src/sys/stat.ts";
import { mknodat } from "../../../src/sys/tree.ts";
import type { Ground } from "./run.ts";

export function groundOf(program: string, dpu: string, host: string): Ground {
  return {
    program,
    make: (name) => {
      const made = mknodat(AT_FDCWD, cstring(`${host}/${name}`), S_IFIFO | 0o600, 0);
      if (made < 0) throw new Error(`no FIFO: errno ${-made}`);
    },
    remove: (name) => unlinkSync(`${host}/${name}`),
    pathOf: (side, name) => `${side === "dpu" ? dpu : host}/${name}`,
  };
}
