/**
 * An actor: a process with an identity of its own that makes calls when told to.
 *
 *   bun actor.ts SCRATCH '{"uid":1001,"gid":1001,"groups":[]}'
 *
 * It reads orders from standard input and answers on standard output, one line
 * each (README.md has the protocol), with plain blocking calls: it has no event
 * loop to speak of, so a call that blocks blocks the actor and nothing else.
 */
import { writeSync } from "node:fs";
import type { Answer } from "./harness/actor-client.ts";
import { calls } from "./harness/calls.ts";
import { forgetCase } from "./harness/clean.ts";
import { decode, encode } from "./harness/codec.ts";
import { keep } from "./posix/descriptors.ts";
import { errnoValue, PosixError } from "./posix/failure.ts";
import * as posix from "./posix/index.ts";

const SIGBUS = 7;
const SIGSEGV = 11;

function prepare(identity: posix.Identity): void {
  posix.noCore();
  posix.defaultAction(SIGBUS);
  posix.defaultAction(SIGSEGV);
  posix.ignoreSignal(posix.SIGXFSZ);
  posix.catchInterrupts();
  posix.become(identity);
  posix.dieWithParent();
}

const [path = "", identity = ""] = process.argv.slice(2);
// Opened as root, so that the actor comes back to it whoever it is by then.
const scratch = keep(posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY));
prepare(JSON.parse(identity));

const orders: Record<string, (...args: never[]) => unknown> = {
  ...(Object.fromEntries(
    Object.entries(calls).filter(([, value]) => typeof value === "function"),
  ) as Record<string, (...args: never[]) => unknown>),
  enter(name: string): void {
    posix.fchdir(scratch);
    posix.chdir(name);
  },
  leave(): void {
    forgetCase(scratch);
  },
};

function obey(line: string): Answer {
  const { name, args } = decode(line) as { name: string; args: never[] };
  const order = orders[name];
  if (order === undefined) return { error: `An actor knows no call "${name}"` };
  try {
    return { value: order(...args) };
  } catch (error) {
    if (error instanceof PosixError) return { errno: error.errno, call: error.call };
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Some bytes of standard input; empty at its end. */
function receive(): Buffer {
  for (;;) {
    try {
      return posix.read(0, 1 << 20);
    } catch (error) {
      if (!(error instanceof PosixError) || error.errno !== errnoValue("EINTR")) throw error;
    }
  }
}

function serve(): void {
  let pending = Buffer.alloc(0);
  for (;;) {
    const received = receive();
    if (received.length === 0) return;
    pending = Buffer.concat([pending, received]);
    for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
      const line = pending.toString("utf8", 0, end);
      pending = pending.subarray(end + 1);
      const answer = Buffer.from(encode(obey(line)));
      for (let sent = 0; sent < answer.length; ) sent += writeSync(1, answer, sent);
    }
  }
}

serve();
