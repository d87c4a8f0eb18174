/** A refused system call, with the errno and the call as it was written. */
import { constants } from "node:os";
import { errno } from "../../../src/sys/libc.ts";

export type Errno = keyof typeof constants.errno;

const names = new Map<number, Errno>();
for (const [name, value] of Object.entries(constants.errno)) names.set(value, name as Errno);
// Two numbers have two names each on Linux: the ones that its manual pages use.
names.set(constants.errno.EAGAIN, "EAGAIN");
names.set(constants.errno.EOPNOTSUPP, "EOPNOTSUPP");

/** "EEXIST" for 17; "errno 9999" where node knows no name. */
export function errnoName(value: number): string {
  return names.get(value) ?? `errno ${value}`;
}

/** The number of "EEXIST" on this machine. */
export function errnoValue(name: Errno): number {
  return constants.errno[name];
}

export class PosixError extends Error {
  readonly errno: number;
  readonly call: string;

  constructor(value: number, call: string) {
    super(`${call} gave ${errnoName(value)}`);
    this.errno = value;
    this.call = call;
  }
}

/** A number that is read in octal: flags and modes. */
export class Octal {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export function octal(value: number): Octal {
  return new Octal(value);
}

/** An argument as a reader of a failure wants it: long ones are cut. */
export function show(value: unknown): string {
  if (value instanceof Octal) return value.value === 0 ? "0" : `0${value.value.toString(8)}`;
  if (value instanceof Uint8Array) {
    const head = Buffer.from(value.subarray(0, 32)).toString("latin1");
    return `${JSON.stringify(head)}${value.length > 32 ? `…(${value.length} bytes)` : ""}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string" && value.length > 80) {
    return `"${value.slice(0, 40)}…(${value.length} characters)"`;
  }
  if (typeof value === "object" && value !== null) {
    const text = JSON.stringify(value, (_, inner) =>
      typeof inner === "bigint" ? `${inner}n` : inner,
    );
    return text.length > 600 ? `${text.slice(0, 600)}…` : text;
  }
  return JSON.stringify(value) ?? "nothing";
}

/** `result` as a number, or a PosixError that names `call`: use it right after the call. */
export function must(call: string, args: readonly unknown[], result: number | bigint): number {
  const value = Number(result);
  if (value >= 0) return value;
  const reason = errno();
  throw new PosixError(reason, `${call}(${args.map(show).join(", ")})`);
}
