/** Resource limits of processes: prlimit(2) for all of them. */
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";
import { RLIMIT, RLIMIT_STRUCT_SIZE } from "./process.ts";

const c = libc({ prlimit: { args: [i32, i32, addr, addr], returns: i32 } });

/** asm-generic/resource.h: how many there are, and their numbers. */
export const RLIMIT_COUNT = 16;
export const Resource = {
  CPU: 0,
  FSIZE: 1,
  DATA: 2,
  STACK: 3,
  CORE: 4,
  RSS: 5,
  NPROC: 6,
  NOFILE: 7,
  MEMLOCK: 8,
  AS: 9,
  LOCKS: 10,
  SIGPENDING: 11,
  MSGQUEUE: 12,
  NICE: 13,
  RTPRIO: 14,
  RTTIME: 15,
} as const;

/** What people call a resource, as in limits.conf(5). */
export function limitName(resource: number): string {
  const known = Object.entries(Resource).find(([, number]) => number === resource);
  return known?.[0].toLowerCase() ?? `${resource}`;
}

const INFINITY = 0xffff_ffff_ffff_ffffn;
/** What stands for RLIM_INFINITY. */
export const UNLIMITED = -1;

/** Soft and hard limit of a resource. */
export type Limit = readonly [soft: number, hard: number];

const old = allocate(RLIMIT_STRUCT_SIZE);
const wanted = allocate(RLIMIT_STRUCT_SIZE);

function number(value: bigint): number {
  return value === INFINITY ? UNLIMITED : Number(value);
}

function word(value: number): bigint {
  return value === UNLIMITED ? INFINITY : BigInt(value);
}

/** The limit of process `pid` (0: this one), or -errno. */
export function getLimit(pid: number, resource: number): Limit | number {
  const result = orErrno(c.prlimit(pid, resource, 0, old.address));
  if (result < 0) return result;
  const { view } = old;
  return [number(view.getBigUint64(RLIMIT.cur, true)), number(view.getBigUint64(RLIMIT.max, true))];
}

/** Sets it: 0 or -errno (EPERM: a hard limit is raised only by root). */
export function setLimit(pid: number, resource: number, [soft, hard]: Limit): number {
  wanted.view.setBigUint64(RLIMIT.cur, word(soft), true);
  wanted.view.setBigUint64(RLIMIT.max, word(hard), true);
  return orErrno(c.prlimit(pid, resource, wanted.address, 0));
}
