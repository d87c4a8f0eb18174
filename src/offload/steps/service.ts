/** Daemons of an offload, in the background in sessions of their own, with their logs in files. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { close } from "../../sys/open.ts";
import { type Address, formatAddress } from "../../transport/address.ts";
import { connectTo } from "../../transport/endpoint.ts";
import { endProcess, findProcess } from "../processes.ts";
import { type Step, shellLine } from "../step.ts";

export interface Service {
  readonly name: string;
  /** Program and arguments, as they are in the root. */
  readonly command: readonly string[];
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Where it is put into by chroot(8); "" for nowhere. */
  readonly root: string;
  /** What stands before its words, and becomes them by execve(2). */
  readonly launcher?: readonly string[];
  readonly log: string;
  /** It is of use once somebody listens here. */
  readonly ready: Address | undefined;
  /** What asks it to end. */
  readonly signal?: NodeJS.Signals;
}

const READY_MS = 60_000;
const FREE_MS = 5000;
const LOOK_MS = 20;
const END_MS = 15_000;
const LOG_TAIL = 1500;

/** A service; it is known by its words and its root, whoever has started it. */
export function service(one: Service): Step {
  const { name, command, env, root, launcher = [], log } = one;
  const chroot = root === "" ? [] : ["chroot", root];
  const words = [...launcher, ...chroot, ...command];
  const assigned = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  const find = () => findProcess(command, root === "" ? "/" : root);
  return {
    name: `service ${name}`,
    commands: [
      `${shellLine(["setsid", "env", "-i", ...assigned, ...words])} </dev/null >>${log} 2>&1 &`,
    ],
    isDone: async () => find() !== undefined && (await listens(one.ready)),
    run: async () => {
      if (find() === undefined) await untilFree(one);
      const started = find() === undefined ? start(words, env, log) : undefined;
      await untilReady(one, find, started);
      return null;
    },
    undo: () => {
      const pid = find();
      if (pid === undefined) return;
      if (!endProcess(pid, one.signal ?? "SIGTERM", END_MS)) endProcess(pid, "SIGKILL", END_MS);
    },
  };
}

function start(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  log: string,
): ChildProcess {
  mkdirSync(dirname(log), { recursive: true });
  const fd = openSync(log, "a", 0o640);
  const [program = "", ...rest] = words;
  const child = spawn(program, rest, { cwd: "/", env, detached: true, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  // A program that is not there has no exit code either.
  child.on("error", () => {});
  child.unref();
  return child;
}

/** Whether somebody listens at `address`; true where nobody is expected to. */
function listens(address: Address | undefined): Promise<boolean> {
  if (address === undefined) return Promise.resolve(true);
  if (address.kind === "vsock" || address.kind === "pcie") {
    return Promise.resolve(listensAcross(address));
  }
  return new Promise((resolve) => {
    const socket = connect(
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port },
    );
    const end = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.setTimeout(READY_MS, () => end(false));
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

/** The kernel gives up a connection by vsock after 2 s (net/vmw_vsock/af_vsock.c), we one by PCIe after 10 s. */
function listensAcross(address: Address): boolean {
  const fd = connectTo(address);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/** Waits for the end of one that was just killed; throws where it is somebody else who listens. */
async function untilFree({ name, ready }: Service): Promise<void> {
  if (ready === undefined) return;
  const endMs = performance.now() + FREE_MS;
  while (await listens(ready)) {
    if (performance.now() > endMs) {
      throw new Error(`${name} cannot start: another program listens at ${formatAddress(ready)}`);
    }
    await Bun.sleep(LOOK_MS);
  }
}

/** Waits until it is of use; nothing tells of that but a try. */
async function untilReady(
  { name, ready, log }: Service,
  find: () => number | undefined,
  started: ChildProcess | undefined,
): Promise<void> {
  const endMs = performance.now() + READY_MS;
  const hasEnded = () =>
    started !== undefined &&
    (started.pid === undefined || started.exitCode !== null || started.signalCode !== null);
  while (!(await listens(ready)) || find() === undefined) {
    if (hasEnded() || performance.now() > endMs) {
      throw new Error(`${name} does not run; the end of ${log}:\n${tailOf(log)}`);
    }
    await Bun.sleep(LOOK_MS);
  }
}

function tailOf(log: string): string {
  try {
    return readFileSync(log, "utf8").slice(-LOG_TAIL);
  } catch {
    return "";
  }
}
