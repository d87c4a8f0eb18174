/** A mount whose server can be stopped, and processes that call on it. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Share } from "../support/mount.ts";
import { sh } from "../support/run.ts";
import { Caller, stop } from "./caller.ts";

const WORKS_MS = 60_000;
const FILE_BYTES = 1 << 20;

/** A directory of one test, on the mount. */
export interface Place {
  directory: string;
  /** A file of 1 MiB that has not been read on this machine. */
  file: string;
  absent: string;
}

export class Stage {
  readonly share: Share;
  readonly #program: string;
  readonly #callers: Caller[] = [];
  #serial = 0;

  /** `program`: what buildCaller made. */
  constructor(share: Share, program: string) {
    this.share = share;
    this.#program = program;
  }

  get serverPid(): number {
    if (this.share.server === undefined) throw new Error("There is no server to be stopped");
    return this.share.server.pid;
  }

  /** Makes a place on the HOST, so that this machine knows nothing of it. */
  fresh(): Place {
    const name = `place${this.#serial++}`;
    mkdirSync(`${this.share.tree}/${name}`);
    writeFileSync(`${this.share.tree}/${name}/file`, Buffer.alloc(FILE_BYTES, name));
    const directory = `${this.share.mountpoint}/${name}`;
    return { directory, file: `${directory}/file`, absent: `${directory}/absent` };
  }

  /** The path on the HOST of a path on the mount. */
  hostPath(path: string): string {
    return this.share.tree + path.slice(this.share.mountpoint.length);
  }

  /** What of a place an operation is to be called on. */
  pathFor(operation: string, place: Place): string {
    if (operation === "readdir") return place.directory;
    return operation === "mkdir" ? place.absent : place.file;
  }

  /** A process that is ready to make its call. */
  async caller(operation: string, path: string): Promise<Caller> {
    const caller = new Caller(this.#program, operation, path);
    this.#callers.push(caller);
    return await caller.ready();
  }

  /** The same in a place of its own. */
  async prepared(operation: string): Promise<Caller> {
    return await this.caller(operation, this.pathFor(operation, this.fresh()));
  }

  /** Does `work` while the server is stopped. */
  async whileStopped(work: () => Promise<void>): Promise<void> {
    const pid = this.serverPid;
    try {
      await stop(pid);
      await work();
    } finally {
      process.kill(pid, "SIGCONT");
    }
  }

  /** Throws unless the mount does all that a mount should. */
  async works(): Promise<void> {
    const { directory } = this.fresh();
    await sh(
      `echo some >a; cat a >b; mv b c; mkdir d; ln c d/e; stat c d/e >/dev/null
       [ "$(cat d/e)" = some ]; [ "$(ls | wc -l)" = 4 ]; flock a true; sync -f a
       head -c 3000000 /dev/urandom >large; cmp large <(cat large); rm -r a c d large`,
      { cwd: directory, timeoutMs: WORKS_MS },
    );
  }

  /** Ends the processes, then the share. */
  async close(): Promise<void> {
    process.kill(this.serverPid, "SIGCONT");
    await Promise.all(this.#callers.map((one) => one.end()));
    await this.share.close();
  }
}
