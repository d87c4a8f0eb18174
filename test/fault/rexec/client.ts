/** A client that runs the fixture, and what came of it. */
import type { Random } from "../../support/random.ts";
import type { World } from "./world.ts";

const BYTES_MAX = 1 << 20;
const INPUT_MAX = 1 << 18;
const PAUSE_US_MAX = 20_000;
const RUN_MS = 60_000;
/** rexec's own exit code: the program's end is not known. */
const UNKNOWN = 125;

/** What is run, and what it gives. */
export interface Order {
  id: number;
  bytes: number;
  input: Uint8Array;
  code: number;
  pauseUs: number;
  byLink: boolean;
}

export function orderOf(id: number, chance: Random): Order {
  const code = chance.below(100);
  const bytes = chance.chance(0.2) ? 0 : chance.below(BYTES_MAX);
  const pauseUs = chance.chance(0.5) ? 0 : chance.below(PAUSE_US_MAX);
  const input = chance.chance(0.5) ? patternOf(id + 1, chance.below(INPUT_MAX)) : new Uint8Array();
  return { id, code, bytes, pauseUs, input, byLink: chance.chance(0.6) };
}

/** As program.c has it. */
function patternOf(id: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let n = 0; n < length; n++) bytes[n] = n * 31 + (n >>> 8) * 7 + id * 13;
  return bytes;
}

export class Client {
  readonly order: Order;
  readonly #child: Bun.Subprocess<Uint8Array, "pipe", "pipe">;
  /** It was killed by us. */
  wasKilled = false;

  constructor(world: World, order: Order) {
    this.order = order;
    const { id, bytes, code, pauseUs, byLink, input } = order;
    const words = [world.program, world.record, id, bytes, code, pauseUs].map(String);
    this.#child = Bun.spawn([...world.rexec(byLink), ...words], {
      stdin: input,
      stdout: "pipe",
      stderr: "pipe",
      timeout: RUN_MS,
      killSignal: "SIGKILL",
    });
  }

  kill(): void {
    this.wasKilled = true;
    this.#child.kill("SIGKILL");
  }

  /** Its end, and what is wrong with that as far as it alone can tell. */
  async end(): Promise<{ isDone: boolean; problem?: string; stderr: string }> {
    const { id, bytes, input, code } = this.order;
    const read = async (stream: ReadableStream<Uint8Array>) =>
      Buffer.from(await new Response(stream).arrayBuffer());
    const [stdout, stderr] = await Promise.all([
      read(this.#child.stdout),
      read(this.#child.stderr),
    ]);
    const got = await this.#child.exited;
    const text = stderr.toString("latin1");
    const wanted = Buffer.concat([patternOf(id, bytes), input]);
    const isPrefix = stdout.equals(wanted.subarray(0, stdout.length));
    const said = `program ${id}: exit ${got}, ${stdout.length} of ${wanted.length} bytes, ${text}`;
    if (!isPrefix) return { isDone: false, stderr: text, problem: `${said}: other bytes` };
    if (this.wasKilled) return { isDone: false, stderr: text };
    if (got === UNKNOWN && text.startsWith("rexec: ")) return { isDone: false, stderr: text };
    const isRight = stdout.length === wanted.length && got === code && text === `err ${id}\n`;
    return isRight
      ? { isDone: true, stderr: text }
      : { isDone: false, stderr: text, problem: said };
  }
}
