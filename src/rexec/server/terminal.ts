/** A program's terminal, where it has one: our end of it, and the path by which it opens its own. */
import { fchownat, KEEP_OWNER } from "../../sys/attr.ts";
import { cstring } from "../../sys/cstring.ts";
import { AT_FDCWD, close } from "../../sys/open.ts";
import { openMaster, setTerminalModes, setTerminalSize } from "../../sys/terminal.ts";
import type { OrderedTerminal } from "../order.ts";

export class ProgramTerminal {
  /** Our end, or -1. */
  master = -1;
  path = "";

  /** Our end, which is made where there is none yet; or -errno. */
  open(): number {
    if (this.master >= 0) return this.master;
    const made = openMaster();
    if (typeof made === "number") return made;
    this.master = made.master;
    this.path = made.path;
    return this.master;
  }

  /** Makes it what is wanted, and `uid`'s: 0 or -errno. */
  prepare({ modes, size }: OrderedTerminal, uid: number): number {
    const master = this.open();
    if (master < 0) return master;
    setTerminalModes(master, modes);
    setTerminalSize(master, size);
    return fchownat(AT_FDCWD, cstring(this.path), uid, KEEP_OWNER, 0);
  }

  close(): void {
    if (this.master >= 0) close(this.master);
    this.master = -1;
  }
}
