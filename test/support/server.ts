/** A real server for a test file, in a process of its own, with an export of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { ServerSnapshot } from "../../src/server/daemon.ts";
import type { Export } from "../../src/server/exports.ts";
import { close } from "../../src/sys/open.ts";
import { connectUnix } from "../../src/sys/socket.ts";
import type { ClientHello } from "../../src/wire/hello.ts";
import { Event } from "../../src/wire/ops.ts";
import { RawClient } from "./client.ts";

/** The built program, which `scripts/build` makes. */
export const COMPILED = new URL("../../dist/qtfs", import.meta.url).pathname;

/** Sessions of clients that end without a GOODBYE are gone before a test gives up waiting. */
const TEST_LEASE_MS = 2_000;

export interface Options {
  /** What is exported beside `share` and `readonly`. */
  exports?: Export[];
  /** Addresses to listen at beside the unix socket. */
  listen?: string[];
  /** Where the scratch directory is made. */
  below?: string;
  /** Called before the server starts. */
  prepare?: (server: TestServer) => void;
  /** User ids that may connect; root alone unless given. */
  uids?: number[];
  /** How long sessions outlive their connections; LEASE_MS with `compiled`. */
  leaseMs?: number;
  /** Runs dist/qtfs rather than the sources; without `snapshot`. */
  compiled?: boolean;
}

export class TestServer {
  /** Scratch directory: `share` is exported, `readonly` too, `outside` is not. */
  readonly directory: string;
  readonly share: string;
  readonly readOnly: string;
  readonly outside: string;
  readonly address: string;
  log = "";
  #output = "";
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<number | null>;
  readonly #clients: RawClient[] = [];
  readonly #compiled: boolean;

  private constructor(scratch: string, options: Options) {
    this.directory = scratch;
    this.share = join(scratch, "share");
    this.readOnly = join(scratch, "readonly");
    this.outside = join(scratch, "outside");
    this.address = join(scratch, "server.sock");
    for (const path of [this.share, this.readOnly, this.outside]) mkdirSync(path);
    options.prepare?.(this);
    this.#compiled = options.compiled === true;
    const [command = "", ...args] = this.#command(options);
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdout.on("data", (chunk) => {
      this.#output += chunk;
    });
    this.#child.stderr.on("data", (chunk) => {
      this.log += chunk;
    });
    this.#ended = new Promise((resolve) => this.#child.on("exit", (code) => resolve(code)));
  }

  #command({
    exports: more = [],
    listen: listenToo = [],
    leaseMs = TEST_LEASE_MS,
    uids,
  }: Options): string[] {
    const listen = [`unix://${this.address}`, ...listenToo];
    const exports = [
      { path: this.share, readOnly: false },
      { path: this.readOnly, readOnly: true },
      ...more,
    ];
    if (!this.#compiled) {
      const script = join(import.meta.dir, "serve.ts");
      return [process.execPath, script, JSON.stringify({ listen, exports, leaseMs, uids })];
    }
    const wanted = exports.flatMap((e) => ["--export", e.readOnly ? `${e.path}:ro` : e.path]);
    const addresses = listen.flatMap((address) => ["--listen", address]);
    return [COMPILED, "server", "--insecure", ...addresses, ...wanted];
  }

  static async start(options: Options = {}): Promise<TestServer> {
    const scratch = mkdtempSync(join(options.below ?? tmpdir(), "qtfs-server-"));
    chmodSync(scratch, 0o755);
    const server = new TestServer(scratch, options);
    if (server.#compiled) await until(() => server.#accepts(), "the server accepts connections");
    else await server.#line();
    return server;
  }

  #accepts(): boolean {
    if (!this.alive) throw new Error(`The server has ended: ${this.log}`);
    const fd = existsSync(this.address) ? connectUnix(this.address) : -1;
    if (fd >= 0) close(fd);
    return fd >= 0;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** A client that said HELLO and attached to the share, or to `root`. */
  client(root = this.share, splits = false): RawClient {
    const client = RawClient.attached(this.address, root, splits);
    this.#clients.push(client);
    return client;
  }

  /** A new connection for the session of `before`. */
  resumed(before: RawClient, changes: Partial<ClientHello> = {}): RawClient {
    const client = RawClient.resumed(this.address, before, changes);
    this.#clients.push(client);
    return client;
  }

  /** A client that has only connected. */
  stranger(): RawClient {
    const client = new RawClient(this.address);
    this.#clients.push(client);
    return client;
  }

  /** Path of `name` on the HOST. */
  path(...names: string[]): string {
    return join(this.share, ...names);
  }

  /** How many descriptors the server has, without what wakes and watches in its threads. */
  descriptors(): number {
    return this.#count(this.pid);
  }

  /** The same of the server and its bridge. */
  allDescriptors(): number {
    return this.descriptors() + this.#bridges().reduce((sum, pid) => sum + this.#count(pid), 0);
  }

  /** Processes that the server has started. */
  #bridges(): number[] {
    const tasks = readdirSync(`/proc/${this.pid}/task`);
    const children = (tid: string) =>
      readFileSync(`/proc/${this.pid}/task/${tid}/children`, "latin1").trim();
    return tasks.flatMap((tid) => children(tid).split(" ").filter(Boolean).map(Number));
  }

  #count(pid: number): number {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => this.#link(pid, fd));
    return links.filter((link) => link !== "" && !link.startsWith("anon_inode:")).length;
  }

  /** What a descriptor is open on; empty if it was closed meanwhile. */
  #link(pid: number, fd: string): string {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  }

  /** How many descriptors the server has open on `path`, an inode of the HOST. */
  openOn(path: string): number {
    const wanted = statSync(path);
    return readdirSync(`/proc/${this.pid}/fd`).filter((fd) => {
      const found = statSync(`/proc/${this.pid}/fd/${fd}`, { throwIfNoEntry: false });
      return found?.ino === wanted.ino && found.dev === wanted.dev;
    }).length;
  }

  /** A number of /proc/PID/status, in kB. */
  memoryKb(field: "VmRSS" | "RssAnon"): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
  }

  async snapshot(): Promise<ServerSnapshot> {
    this.#output = "";
    this.#child.stdin.write("snapshot\n");
    return JSON.parse(await this.#line());
  }

  /** Ends the session of `client`, or of all that were made here. */
  hangUp(client?: RawClient): void {
    const from = client === undefined ? 0 : this.#clients.indexOf(client);
    const count = client === undefined ? this.#clients.length : 1;
    for (const client of this.#clients.splice(from, count)) client.leave();
  }

  /** Ends the server as its owner would; its exit code. */
  async stop(): Promise<number | null> {
    const code = await this.end();
    rmSync(this.directory, { recursive: true, force: true });
    return code;
  }

  /** The same, leaving the scratch directory. */
  async end(): Promise<number | null> {
    this.hangUp();
    // Both end the server; SIGTERM is what a service manager sends.
    if (this.#compiled) this.#child.kill("SIGTERM");
    this.#child.stdin.end();
    return this.#ended;
  }

  async #line(): Promise<string> {
    while (!this.#output.includes("\n")) {
      if (!this.alive) throw new Error(`The server has ended: ${this.log}`);
      await Bun.sleep(5);
    }
    return this.#output.slice(0, this.#output.indexOf("\n"));
  }
}

/** Waits until `condition`, which another process brings about. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`It never happened that ${what}`);
    await Bun.sleep(5);
  }
}

/**
 * Returns once the server has told `client` of all that was done so far on the
 * HOST: a name made now in `directory`, which the client knows as `node`, comes last.
 */
export function settle(client: RawClient, node: number, directory: string): void {
  const name = `settled-${crypto.randomUUID()}`;
  client.errno("LOOKUP", node, name);
  writeFileSync(join(directory, name), "");
  const isLast = ([event, parent, what]: unknown[]) =>
    event === Event.RENAMED && parent === node && String(what) === name;
  client.pump(() => client.events.some(isLast) || client.closed);
}
