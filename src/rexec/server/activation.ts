/**
 * Sockets that were opened for a program before it was started (sd_listen_fds(3)): LISTEN_PID
 * tells it that they are meant for it. To a client that they were meant for, and that passes them
 * on, it is the program's number that counts.
 */
import type { OrderHead } from "../order.ts";

/** The first of them (SD_LISTEN_FDS_START). */
const FIRST_FD = 3;
/** Digits of a process number at most (i32), and the NUL. */
export const NUMBER_ROOM = 11;
/** Whom they are meant for in another way, of which there is none for the program. */
const PIDFD_ID = "LISTEN_PIDFDID=";

export interface Activation {
  /** The environment, `NAME=VALUE` with a NUL each. */
  readonly env: Buffer;
  /** Where in it the number of the program is to be written: there are NUMBER_ROOM zeros and a NUL. */
  readonly at: number;
}

/**
 * The environment of a program that has them of a client of number `pid`; undefined where they
 * are not meant for that, or it has not all of them.
 */
export function activate(env: Uint8Array, head: OrderHead, pid: number): Activation | undefined {
  const bytes = Buffer.from(env.buffer, env.byteOffset, env.byteLength);
  const number = `LISTEN_PID=${pid}`;
  if (!bytes.includes(number)) return undefined;
  const entries = bytes.toString("latin1", 0, bytes.length - 1).split("\0");
  if (!entries.includes(number) || entries.find(isNumber) !== number) return undefined;
  const count = Number(entries.find((one) => one.startsWith("LISTEN_FDS="))?.slice(11));
  const targets = new Set(head.fds.map(({ target }) => target));
  if (!(count > 0 && count <= targets.size)) return undefined;
  for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) if (!targets.has(fd)) return undefined;
  const kept = entries.filter((one) => !isNumber(one) && !one.startsWith(PIDFD_ID));
  const name = "LISTEN_PID=";
  const all = [`${name}${"0".repeat(NUMBER_ROOM)}`, ...kept].map((one) => `${one}\0`).join("");
  return { env: Buffer.from(all, "latin1"), at: name.length };
}

function isNumber(entry: string): boolean {
  return entry.startsWith("LISTEN_PID=");
}
