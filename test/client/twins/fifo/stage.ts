/** One FIFO of two kernels: two FIFOs here, which the two ends of the bridge take for one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { encode } from "cbor-x/encode";
import { identityOf } from "../../../../src/bridge/holders.ts";
import { Loop } from "../../../../src/bridge/loop.ts";
import { hasWriters } from "../../../../src/bridge/pipeends.ts";
import { ServedFifos } from "../../../../src/client/twins/fifo/fifos.ts";
import { HostFifos } from "../../../../src/server/bridge/fifo/fifos.ts";
import { cstring } from "../../../../src/sys/cstring.ts";
import { inotifyAddWatch } from "../../../../src/sys/inotify.ts";
import { write } from "../../../../src/sys/io.ts";
import { allocate } from "../../../../src/sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_ACCMODE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
} from "../../../../src/sys/open.ts";
import { S_IFIFO } from "../../../../src/sys/stat.ts";
import { mknodat } from "../../../../src/sys/tree.ts";
import { decodePlain } from "../../../../src/wire/plain.ts";
import { StreamKind } from "../../../../src/wire/streams.ts";
import { Pair } from "../../../session/pair.ts";
import { ok } from "../../../sys/support.ts";

const bytes = allocate(4096);
const BOUND_MS = 10_000;
const KEY = 7;
const NODE = [1, 2] as const;

/** A process that does nothing but hold a FIFO. */
interface Holder {
  readonly pid: number;
  end(): Promise<void>;
}

export class FifoStage {
  readonly #directory = mkdtempSync(`${tmpdir()}/fifo-`);
  readonly loop = new Loop();
  readonly host = `${this.#directory}/host`;
  readonly dpu = `${this.#directory}/dpu`;
  readonly #key: number;
  readonly #server: HostFifos;
  readonly #served: ServedFifos;
  readonly #pair: Pair;
  readonly #holders: Holder[] = [];
  #opener = 1;
  /** How long it takes until the FIFO's inode is known here. */
  placingMs = 0;

  constructor() {
    const { loop } = this;
    for (const path of [this.host, this.dpu]) {
      ok(mknodat(AT_FDCWD, cstring(path), S_IFIFO | 0o600, 0));
    }
    this.#key = ok(openat(AT_FDCWD, cstring(this.host), O_PATH | O_CLOEXEC, 0));
    this.#server = new HostFifos(loop, () => {});
    const take = this.#server.taker((key) => (key === KEY ? this.#key : undefined));
    this.#pair = new Pair((stream, _kind, description) => {
      const items = decodePlain(description);
      return take(stream, Array.isArray(items) ? items : []);
    }, 1 << 20);
    this.#served = new ServedFifos({
      loop,
      open: (_, flags, done) => {
        loop.after(0, () => done(openat(AT_FDCWD, cstring(this.dpu), flags | O_CLOEXEC, 0)));
      },
      watch: (_, inotify, mask, done) => {
        loop.after(this.placingMs, () => {
          const fd = ok(openat(AT_FDCWD, cstring(this.dpu), O_PATH | O_CLOEXEC, 0));
          done(inotifyAddWatch(inotify, cstring(this.dpu), mask), identityOf(fd));
          close(fd);
        });
      },
      connect: (_, line) => {
        const stream = this.#pair.client.streams.open(StreamKind.FIFO, encode([KEY]), line);
        if (stream !== undefined) line.start(stream);
      },
      hold: () => () => {},
      let: () => {},
      log: () => {},
    });
  }

  /** Where the FIFO is on the DPU. */
  get at(): string | undefined {
    return this.#served.figures[0]?.at;
  }

  turn(): void {
    this.#pair.settle();
    this.loop.turn(1);
    this.#pair.settle();
  }

  /** Goes on for so long. */
  pass(ms: number, each: () => void = () => {}): void {
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) {
      this.turn();
      each();
    }
  }

  until(isSo: () => boolean): void {
    const endMs = performance.now() + BOUND_MS;
    while (!isSo()) {
      if (performance.now() > endMs) throw new Error(`in vain: ${this.at}`);
      this.turn();
    }
  }

  /** Opens the FIFO of `path` here, not blocking. */
  open(path: string, flags: number): number {
    return ok(openat(AT_FDCWD, cstring(path), flags | O_NONBLOCK | O_CLOEXEC, 0));
  }

  /** Whether anybody has the FIFO of `path` open for writing. */
  hasWriter(path: string): boolean {
    const fd = this.open(path, O_RDONLY);
    const isThere = hasWriters(fd) !== false;
    close(fd);
    return isThere;
  }

  write(fd: number, text: string): void {
    ok(write(fd, bytes.address, bytes.bytes.latin1Write(text, 0)));
  }

  /** Another process has `fds`, too. */
  holder(...fds: number[]): Holder {
    const child = Bun.spawn(["sleep", "1000"], {
      stdio: [fds[0] ?? "ignore", fds[1] ?? "ignore", fds[2] ?? "ignore"],
    });
    const end = async () => {
      child.kill("SIGKILL");
      await child.exited;
    };
    const holder = { pid: child.pid, end };
    this.#holders.push(holder);
    return holder;
  }

  /** The DPU's kernel tells that process `pid` opens the FIFO with O_* `flags`, which it has done by then. */
  tellOpened(pid: number, flags: number): void {
    const mode = flags & O_ACCMODE;
    this.#served.opens({
      ...{ kind: "fifoOpens", id: this.#opener++, channel: 1, node: NODE, tid: pid, text: "open" },
      ...{ reads: mode !== O_WRONLY, writes: mode !== O_RDONLY },
      ...{ waits: (flags & O_NONBLOCK) === 0, unknown: false },
    });
  }

  async close(): Promise<void> {
    for (const holder of this.#holders) await holder.end();
    this.#served.leave();
    this.#server.close();
    this.#pair.close();
    this.loop.close();
    close(this.#key);
    rmSync(this.#directory, { recursive: true });
  }
}
