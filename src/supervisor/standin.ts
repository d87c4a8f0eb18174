/**
 * A process of this machine that stands for one of the HOST's: its pidfds are what programs get
 * for that one, so poll(2) tells of an end by the kernel's own means, and waitid(2) that it is
 * nobody's child. It does nothing, and says in its arguments whom it stands for, so that any
 * supervisor can tell. It ends when that one has ended, or with the last writer of its input, which
 * the supervisor and its keeper are.
 */
import type { HostProcess } from "../client/hostwaits.ts";
import { errnoName } from "../sys/errno.ts";
import { pipe2, read } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { close, O_CLOEXEC } from "../sys/open.ts";
import type { Procfs } from "./spaces.ts";

/** Says that it has begun: until then its arguments are those of whoever starts it. */
const SCRIPT = "echo; exec >/dev/null; read -r _";
/** As a keeper's: a shell that is one of many programs in one goes by what is behind the slash. */
const ARGV0 = "qtfs-stand-in/sh";
const SHELL = "/bin/sh";

/** Bytes of what the thread for ends is told, at most: JSON of a Target. */
export const ORDER_MAX = 16 * 1024;

/** A process of the HOST's, and how that HOST is reached. */
export interface Target extends HostProcess {
  /** Addresses of the server, divided by `, `. */
  readonly server: string;
  /** A directory that it lets us attach to. */
  readonly source: string;
}

const said = allocate(1);

/** Starts one whose input is `input`; the number of its process once it says whom it stands for. Throws where it cannot. */
export function startStandIn({ pid, startedAt, server, source }: Target, input: number): number {
  const words = [`${pid}`, `${startedAt}`, server, source];
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === "number") throw new Error(`Cannot make a pipe: ${errnoName(pipe)}`);
  const [reading, writing] = pipe;
  const child = Bun.spawn([SHELL, "-c", SCRIPT, ...words], {
    argv0: ARGV0,
    cwd: "/",
    env: {},
    detached: true,
    stdio: [input, writing, "ignore"],
  });
  child.unref();
  close(writing);
  const hasBegun = read(reading, said.address, said.size) === 1;
  close(reading);
  if (!hasBegun) throw new Error("What is to stand for the HOST's process has ended");
  return child.pid;
}

/** Whom process `pid` of this machine stands for; undefined if for nobody. */
export function targetOf(procfs: Procfs, pid: number): Target | undefined {
  const words = (procfs.read(`${pid}/cmdline`) ?? "").split("\0");
  const [argv0, , script, number, startedAt, server, source] = words;
  if (argv0 !== ARGV0 || script !== SCRIPT || server === undefined || source === undefined) {
    return undefined;
  }
  return { pid: Number(number), startedAt: Number(startedAt), server, source };
}

/** Whether both are the same process. */
export function isSame(one: Target, other: Target): boolean {
  return one.pid === other.pid && one.startedAt === other.startedAt && one.server === other.server;
}
