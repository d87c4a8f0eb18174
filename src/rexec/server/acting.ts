/**
 * Being who has ordered a program while it is looked for: its user and groups are those of this
 * thread then. And what of its ids and limits a program can be given by this process.
 */
import { readFileSync } from "node:fs";
import type { ChildLimit, Identity } from "../../sys/child.ts";
import { E } from "../../sys/errno.ts";
import { geteuid, setEffectiveGid, setEffectiveUid, setGroups } from "../../sys/identity.ts";
import { getLimit, type Limit, UNLIMITED } from "../../sys/limits.ts";
import { allocate, type Region } from "../../sys/memory.ts";
import type { OrderHead } from "../order.ts";
import type { Rule } from "./rules.ts";
import { Stalls } from "./stalls.ts";

/** Groups that a process may have here; the kernel allows 65536. */
const GROUPS_MAX = 1024;

/** linux/capability.h */
const CAP_SYS_RESOURCE = 24;

export class Acting {
  readonly stalls = new Stalls();
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

  /** Whom a program becomes that is started by this process for `head`. */
  identity({ uid, gid, groups }: OrderHead): { readonly identity?: Identity } {
    return this.#isRoot ? { identity: { uid, gid, groups } } : {};
  }

  /** The result of `fn`, called as `head` says, or the -errno of becoming that. */
  as(head: OrderHead, fn: () => number): number {
    try {
      const result = this.#become(head);
      return result < 0 ? result : fn();
    } finally {
      this.#return();
    }
  }

  /**
   * The limits of a program: those that `rule` names, and what its client asks for of the others.
   * Only root may have hard limits there that are above this process's.
   */
  limits(head: OrderHead, mayRaise: boolean, rule: Rule["limits"] = []): ChildLimit[] {
    const required = rule.map(([resource, limit]) => ({ resource, limit, isRequired: true }));
    const given: ChildLimit[] = [...required];
    head.limits.forEach(([soft, hard], resource) => {
      if (rule.some(([one]) => one === resource)) return;
      const own = getLimit(0, resource);
      if (typeof own === "number") return;
      const hardMax = mayRaise && this.#keepsRights ? hard : lesser(hard, own[1]);
      const possible: Limit = [lesser(soft, hardMax), hardMax];
      if (own[0] === possible[0] && own[1] === possible[1]) return;
      given.push({ resource, limit: possible, isRequired: false });
    });
    return given;
  }

  #become({ uid, gid, groups }: OrderHead): number {
    if (!this.#isRoot) return uid === geteuid() ? 0 : -E.EPERM;
    // The real user stays root: whose it were could send this process signals (kill(2)).
    return this.#setGroups(groups) || setEffectiveGid(gid) || setEffectiveUid(uid);
  }

  #return(): void {
    if (!this.#isRoot) return;
    const result = setEffectiveUid(0) || setEffectiveGid(0);
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
