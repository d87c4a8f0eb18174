/**
 * Who may run what, as whom. Without a rule root may run everything over a unix socket, other
 * users that may connect everything as themselves, and nobody anything over TCP. Of several
 * rules that allow a program the first counts.
 */
import type { Limit } from "../../sys/limits.ts";
import { PROGRAMS_MAX } from "../../wire/limits.ts";
import type { Order, OrderHead } from "../order.ts";
import type { Client } from "./client.ts";
import type { EnvRule } from "./environment.ts";
import { type ArgsPattern, matchesArgs } from "./patterns.ts";

/** A user that programs become: all ids that they have then. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** What becomes of a program whose client is away for longer than the lease. */
export type OnLost = "keep" | "terminate";

/**
 * What a rule allows, to whom, and how that is run. It is plain data; patterns are of bytes,
 * each character one (patterns.ts).
 */
export interface Rule {
  /** For people, and what its programs are counted by. */
  readonly name: string;
  /** Clients of unix sockets: their users; all that may connect without it, with [] none. */
  readonly users?: readonly number[];
  /** Whether it is for clients over TCP, too, whom nobody knows. */
  readonly tcp?: boolean;
  /** Pattern of the path, free of symbolic links. */
  readonly program: string;
  /** Any without it. */
  readonly args?: ArgsPattern;
  /** Without it clients run as themselves, and root, and whoever comes by TCP, as they wish. */
  readonly as?: RunAs;
  /** What is passed and set; all is passed without it. */
  readonly env?: EnvRule;
  readonly cwd?: string;
  /** How many may run at once. */
  readonly max?: number;
  /** By resource (sys/limits.ts), instead of the client's. */
  readonly limits?: readonly (readonly [resource: number, limit: Limit])[];
  /** Directories of cgroups that it enters, which are made where they are missing. */
  readonly cgroups?: readonly string[];
  /** The longest that it may take. */
  readonly timeoutMs?: number;
  /** As its client asked for without it. */
  readonly onLost?: OnLost;
}

/** A way in which an order may be carried out: by a rule, or without any. */
export interface Grant {
  /** What was ordered, with what the rule has to say of it. */
  readonly head: OrderHead;
  readonly rule?: Rule;
  /** Patterns of which one must match, too, where its client was enrolled for some. */
  readonly programs?: readonly string[];
  /** Why not now, though the rule allows it. */
  readonly refused?: string;
}

/** What is allowed to an order. */
export interface Granted {
  /** In their order. */
  readonly grants: readonly Grant[];
  /** As whom it is looked for where no rule allows what was found: what is told is what he sees. */
  readonly own: OrderHead;
  /** Patterns of programs that would be allowed with other arguments. */
  readonly withOtherArgs: readonly string[];
}

export type Admission = { readonly refused: string } | Granted;

/** What the program of another user's never lets others do with files that it makes (umask(2)). */
const UMASK_OF_OTHERS = 0o022;

/** How many programs run by each rule, whatever rules hold by now. */
export class RuleCounts {
  readonly #running = new Map<string, number>();

  /** `more` programs run by the rule of this name. */
  add(name: string, more: number): void {
    const count = this.of(name) + more;
    if (count > 0) this.#running.set(name, count);
    else this.#running.delete(name);
  }

  of(name: string): number {
    return this.#running.get(name) ?? 0;
  }
}

/** Programs that run. */
export interface Running {
  readonly all: number;
  readonly by: RuleCounts;
}

export class Rules {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /**
   * In which ways `client` may have `order` carried out while others run. `words` gives all its
   * words, each character a byte.
   */
  admit(client: Client, order: Order, words: () => string[], running: Running): Admission {
    if (running.all >= PROGRAMS_MAX) return { refused: "too many programs run" };
    const { uid } = client;
    const { head } = order;
    const own = uid === undefined || uid === 0 ? head : asHimself(client, head);
    // A user may claim to be another only where a rule says whom the program becomes.
    const isHimself = uid === undefined || uid === 0 || uid === head.uid;
    const asOther = `user ${uid} may not run programs as user ${head.uid}`;
    if (uid !== undefined && this.#rules.length === 0) {
      if (!isHimself) return { refused: asOther };
      return { grants: [{ head: own }], own, withOtherArgs: [] };
    }
    const [name, ...args] = words();
    const rules = this.#rules.filter((rule) => isFor(rule, uid));
    const asked = Buffer.from(name ?? "", "latin1").toString();
    if (rules.length === 0) return { refused: `${asked}: no rule is for this client` };
    const usable = rules.filter(({ as }) => as !== undefined || isHimself);
    if (usable.length === 0) return { refused: asOther };
    const fits = (rule: Rule) => rule.args === undefined || matchesArgs(rule.args, args);
    return {
      grants: usable.filter(fits).map((rule) => ({
        ...grantBy(rule, own, running.by),
        ...(client.programs && { programs: client.programs }),
      })),
      own: viewOf(client, usable, own),
      withOtherArgs: usable.filter((rule) => !fits(rule)).map(({ program }) => program),
    };
  }
}

function grantBy(rule: Rule, own: OrderHead, running: RuleCounts): Grant {
  const head = headBy(rule, own);
  const { name, max } = rule;
  if (max === undefined || running.of(name) < max) return { head, rule };
  return { head, rule, refused: `as many run as rule ${name} allows at once (${max})` };
}

function isFor({ users, tcp }: Rule, uid: number | undefined): boolean {
  if (uid === undefined) return tcp === true;
  return users === undefined || users.includes(uid);
}

/** The order with the user and groups that the kernel says its client has. */
function asHimself({ uid, gid, groups }: Client, head: OrderHead): OrderHead {
  return { ...head, uid: uid ?? head.uid, gid, groups };
}

/**
 * What strangers claim to be gives them nothing to see where no rule lets them be it: they look as
 * the first rule's user.
 */
function viewOf(client: Client, rules: readonly Rule[], own: OrderHead): OrderHead {
  if (client.uid !== undefined || rules.some(({ as }) => as === undefined)) return own;
  return headBy(rules[0] as Rule, own);
}

function headBy(rule: Rule, head: OrderHead): OrderHead {
  const { as, cwd, timeoutMs = 0 } = rule;
  const limits = [head.timeoutMs, timeoutMs].filter((ms) => ms > 0);
  return {
    ...head,
    ...as,
    ...(as && { umask: head.umask | UMASK_OF_OTHERS }),
    ...(cwd !== undefined && { cwd: Buffer.from(cwd) }),
    timeoutMs: limits.length === 0 ? 0 : Math.min(...limits),
  };
}

/** What describes a program to people. */
export interface Described {
  readonly words: readonly string[];
  readonly uid: number;
  readonly client: Client;
}

/** An order in one line, for people. */
export function describeOrder({ words, uid, client }: Described): string {
  const line = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)));
  return `${line.join(" ").slice(0, 300)} as uid ${uid} for ${client.description}`;
}

/** A rule in one line, for people. */
export function describeRule({ name, program, args, as, users, tcp }: Rule): string {
  const text = (pattern: string) => Buffer.from(pattern, "latin1").toString();
  const given = args === undefined ? [] : [args].flat();
  const what = [program, ...given].map(text).join(" ");
  const ids = users?.map((uid) => `uid ${uid}`) ?? ["who may connect"];
  const whom = [...ids, ...(tcp === true ? ["TCP clients"] : [])].join(", ");
  const becomes = as === undefined ? "" : ` as uid ${as.uid}`;
  return `${name === text(program) ? "" : `${name}: `}${what}${becomes} for ${whom}`;
}
