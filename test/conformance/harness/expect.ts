/** What a case may claim. A claim that does not hold throws, with what was expected and seen. */
import { type Errno, errnoName, errnoValue, octal, PosixError, show } from "../posix/failure.ts";
import { ActorDied } from "./actor-client.ts";

export class Unexpected extends Error {}

/** Numbers in octal where the claim is about a mode. */
function shown(value: unknown, what: string): string {
  if (!/\bmodes?\b/.test(what)) return show(value);
  if (Array.isArray(value)) return `[${value.map((inner) => shown(inner, what)).join(", ")}]`;
  return typeof value === "number" ? show(octal(value)) : show(value);
}

/** `seen` is `expected`, compared by value. */
export function equal<T>(seen: T, expected: NoInfer<T>, what: string): void {
  const same =
    seen instanceof Uint8Array && expected instanceof Uint8Array
      ? Buffer.compare(seen, expected) === 0
      : Bun.deepEquals(seen, expected);
  if (same) return;
  throw new Unexpected(`${what}: expected ${shown(expected, what)}, saw ${shown(seen, what)}`);
}

/** The bytes read are this text. */
export function holds(seen: Uint8Array, expected: string, what: string): void {
  equal(Buffer.from(seen).toString("latin1"), expected, what);
}

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Unexpected(what);
}

function judge(expected: Errno | readonly Errno[], error: unknown): void {
  if (!(error instanceof PosixError)) throw error;
  const allowed: readonly Errno[] = typeof expected === "string" ? [expected] : expected;
  // By number: EOPNOTSUPP and EWOULDBLOCK are second names.
  if (!allowed.some((name) => errnoValue(name) === error.errno)) {
    const seen = errnoName(error.errno);
    throw new Unexpected(`${error.call}: expected ${allowed.join(" or ")}, saw ${seen}`);
  }
}

function succeeded(expected: Errno | readonly Errno[], result: unknown, call: string): never {
  const names = typeof expected === "string" ? expected : expected.join(" or ");
  throw new Unexpected(`${call}: expected ${names}, saw success (${show(result)})`);
}

/** The call of this process is refused with that errno. */
export function refuses(expected: Errno | readonly Errno[], call: () => unknown): void {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    judge(expected, error);
    return;
  }
  if (result instanceof Promise) throw new Error("refuses() is for calls of the case itself");
  succeeded(expected, result, String(call).replace(/^\(\) => /, ""));
}

/** The call of an actor is refused with that errno. */
export async function rejects(
  expected: Errno | readonly Errno[],
  call: Promise<unknown>,
): Promise<void> {
  let result: unknown;
  try {
    result = await call;
  } catch (error) {
    judge(expected, error);
    return;
  }
  succeeded(expected, result, "an actor's call");
}

/** The actor is killed by that signal in this call. */
export async function dies(signal: NodeJS.Signals, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof ActorDied)) throw error;
    equal(error.signal, signal, "the signal that ended the actor");
    return;
  }
  throw new Unexpected(`expected ${signal}, saw the call succeed`);
}
