/** Abstract names as places of sockets that are served here; those of the network namespace of this process. */
import { E } from "../../sys/errno.ts";
import { isNamed } from "../../sys/sockdiag.ts";
import { Op } from "../../wire/ops.ts";
import { StreamKind } from "../../wire/streams.ts";
import type { FromTwins } from "./channel.ts";
import type { Caller, Ground, Owned, Question, Wanted } from "./ground.ts";
import type { TwinSide } from "./side.ts";

/** Before a name where people read it, as ss(8) has it. */
const MARK = "@";

/** A name as people read it: what messages have in place of a file's name. */
export function shown(name: string): string {
  return MARK + name;
}

/** The name that is shown so. */
function plain(text: string): string {
  return text.slice(MARK.length);
}

export class NameGround implements Ground {
  readonly incoming = StreamKind.INCOMING_NAMED;
  readonly tell: (message: FromTwins) => void;
  readonly #side: TwinSide;

  constructor(side: TwinSide, tell: (message: FromTwins) => void) {
    this.#side = side;
    this.tell = tell;
  }

  bind({ name, type }: Wanted, done: (fd: number, path: string) => void): void {
    const job = { kind: "bindName", name: plain(name), type } as const;
    this.#side.doorman.ask(job, ({ result }) => done(result, name));
  }

  connect({ name, type }: Owned, caller: Caller, done: (fd: number) => void): void {
    const job = { kind: "connectName", to: plain(name), type, ...caller } as const;
    this.#side.doorman.ask(job, ({ result }) => done(result));
  }

  probe({ name, type }: Owned, done: (result: number) => void): void {
    done(isNamed(plain(name), type) ? 0 : -E.ECONNREFUSED);
  }

  look({ name, type }: Owned, done: (result: number) => void): void {
    done(isNamed(plain(name), type) ? 0 : -E.ESTALE);
  }

  open({ name }: Wanted): Question {
    return [Op.NAME_OPEN, [plain(name)]];
  }

  rebind({ name, type }: Owned): Question {
    return [Op.NAME_BIND, [plain(name), type]];
  }
}
