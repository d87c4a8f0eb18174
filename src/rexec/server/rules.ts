/**
 * Who may run what, as whom. Without a rule root may run everything over a unix socket, other
 * users that may connect everything as themselves, and nobody anything over TCP.
 */
import { PROGRAMS_MAX } from "../../wire/limits.ts";
import type { Order } from "../order.ts";
import type { Client } from "./client.ts";
import type { Admission, Program } from "./program.ts";
import { NotAllowed } from "./starter.ts";

/** What a rule allows. Patterns: `*` is any text, `?` any character. */
export interface Rule {
  /** Of the resolved path. */
  readonly program: string;
  /** Of all arguments, joined by blanks; any without it. */
  readonly args?: string;
}

export class Rules {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /**
   * Whether `program`'s client may have `order` carried out, and as whom; `running` run already.
   * `words` gives all its words, each character a byte.
   */
  admit({ client }: Program, order: Order, words: () => string[], running: number): Admission {
    const { uid } = client;
    if (running >= PROGRAMS_MAX) return { refused: "too many programs run" };
    if (uid !== undefined && uid !== 0 && uid !== order.head.uid) {
      return { refused: `user ${uid} may not run programs as user ${order.head.uid}` };
    }
    const admitted = uid === undefined || uid === 0 ? order : asHimself(client, order);
    if (uid !== undefined && this.#rules.length === 0) return { order: admitted };
    const [name, ...rest] = words();
    const args = rest.join(" ");
    const check = (resolved: string) => {
      const rules = this.#rules.filter((rule) => matches(rule.program, resolved));
      if (rules.some((rule) => rule.args === undefined || matches(rule.args, args))) return;
      const what = rules.length > 0 ? `${resolved} with these arguments` : resolved;
      const asked = Buffer.from(name ?? "", "latin1").toString();
      throw new NotAllowed(`${asked}: the rexec-server does not allow ${what}`);
    };
    return { order: admitted, check };
  }
}

/** The order with the groups that the kernel says its client has. */
function asHimself({ gid, groups }: Client, order: Order): Order {
  return { ...order, head: { ...order.head, gid, groups } };
}

/** Whether `text` is of the form `pattern`: in linear steps, for both may be long. */
export function matches(pattern: string, text: string): boolean {
  let [at, in_, star, mark] = [0, 0, -1, 0];
  while (at < text.length) {
    const letter = pattern[in_];
    if (letter === "*") {
      star = in_++;
      mark = at;
    } else if (letter === "?" || letter === text[at]) {
      at++;
      in_++;
    } else if (star >= 0) {
      in_ = star + 1;
      at = ++mark;
    } else return false;
  }
  while (pattern[in_] === "*") in_++;
  return in_ === pattern.length;
}

/** An order in one line, for people. */
export function describeOrder({ words, uid, client }: Program): string {
  const line = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)));
  return `${line.join(" ").slice(0, 300)} as uid ${uid} for ${client.description}`;
}
