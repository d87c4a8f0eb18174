/**
 * Being who has ordered a program while it is found and started: its user, groups, umask
 * and limits are those of this thread then, and the child inherits them.
 */
import { readFileSync } from "node:fs";
import { E } from "../../sys/errno.ts";
import { becomeForExec, becomeRoot, geteuid, setGroups } from "../../sys/identity.ts";
import { getLimit, type Limit, Resource, setLimit, UNLIMITED } from "../../sys/limits.ts";
import { allocate, type Region } from "../../sys/memory.ts";
import { umask } from "../../sys/process.ts";
import type { OrderHead } from "../order.ts";

/** Groups that a process may have here; the kernel allows 65536. */
const GROUPS_MAX = 1024;

/** linux/capability.h */
const CAP_SYS_RESOURCE = 24;

/** Those that would hit this process while they are its own, and so are set behind the child's back. */
const LATE: ReadonlySet<number> = new Set([Resource.CPU, Resource.DATA, Resource.AS]);

export class Acting {
  readonly #groups: Region = allocate(GROUPS_MAX * 4);
  readonly #own: readonly number[];
  readonly #isRoot = geteuid() === 0;
  /** Whether a hard limit can be raised again. */
  readonly #keepsRights = hasCapability(CAP_SYS_RESOURCE);

  /** `own`: this process's groups. */
  constructor(own: readonly number[]) {
    this.#own = own;
  }

  /** Whether programs can be started as others. */
  get canBecome(): boolean {
    return this.#isRoot;
  }

  /** The result of `fn`, called as `head` says, or the -errno of becoming that. */
  as(head: OrderHead, fn: () => number): number {
    const before = umask(head.umask);
    try {
      const result = this.#become(head);
      return result < 0 ? result : fn();
    } finally {
      this.#return();
      umask(before);
    }
  }

  /** The result of `fn`, during which this process has the limits, as far as they do no harm. */
  limited(limits: OrderHead["limits"], fn: () => number): number {
    const restore = setEarly(limits, this.#keepsRights);
    try {
      return fn();
    } finally {
      restore();
    }
  }

  #become({ uid, gid, groups }: OrderHead): number {
    if (!this.#isRoot) return uid === geteuid() ? 0 : -E.EPERM;
    const result = this.#setGroups(groups);
    return result < 0 ? result : becomeForExec(uid, gid);
  }

  #return(): void {
    if (!this.#isRoot) return;
    const result = becomeRoot();
    // Going on with the rights of somebody else would mix up users.
    if (result < 0) throw new Error(`Cannot become root again: errno ${-result}`);
    this.#setGroups(this.#own);
  }

  #setGroups(groups: readonly number[]): number {
    groups.forEach((gid, i) => {
      this.#groups.words[i] = gid;
    });
    return setGroups(this.#groups.address, groups.length);
  }
}

/**
 * Sets the limits that differ from ours and do no harm meanwhile; the result puts ours back.
 * Hard ones could not be without CAP_SYS_RESOURCE: `setLate` is left to do it then.
 */
function setEarly(limits: OrderHead["limits"], withHard: boolean): () => void {
  const changed: [number, Limit][] = [];
  limits.forEach((limit, resource) => {
    if (LATE.has(resource)) return;
    const own = getLimit(0, resource);
    if (typeof own === "number") return;
    const wanted: Limit = withHard ? limit : [lesser(limit[0], own[1]), own[1]];
    if (own[0] === wanted[0] && own[1] === wanted[1]) return;
    if (setLimit(0, resource, wanted) === 0) changed.push([resource, own]);
  });
  return () => {
    for (const [resource, own] of changed) setLimit(0, resource, own);
  };
}

/** Of this thread; bit numbers of linux/capability.h. */
function hasCapability(bit: number): boolean {
  const status = readFileSync("/proc/thread-self/status", "latin1");
  const hex = /^CapEff:\t(.*)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${hex}`) >> BigInt(bit)) & 1n) === 1n;
}

function lesser(one: number, other: number): number {
  if (one === UNLIMITED) return other;
  return other === UNLIMITED ? one : Math.min(one, other);
}

/** Sets what is not set yet of the limits of the child that has just been started, as far as we may. */
export function setLate(pid: number, limits: OrderHead["limits"]): void {
  limits.forEach((limit, resource) => {
    const has = getLimit(pid, resource);
    if (typeof has === "number" || (has[0] === limit[0] && has[1] === limit[1])) return;
    if (setLimit(pid, resource, limit) === 0) return;
    const hard = lesser(limit[1], has[1]);
    setLimit(pid, resource, [lesser(limit[0], hard), hard]);
  });
}
