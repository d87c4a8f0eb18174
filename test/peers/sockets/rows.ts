/** What is measured between two machines. */
import type { Way } from "../../e2e/support/machines.ts";
import type { Program } from "../../e2e/support/program.ts";
import type { Options } from "./options.ts";

/** Of whoever reads nothing, beside a ping-pong. */
export const STALLED = 100;
/** More than all there is between a source and one who does not read. */
const STALLED_BYTES = 1e9;
const LONG_MS = 120_000;

/** Figures by the name of their row; latencies in µs, throughput in MB/s. */
export type Figures = Map<string, number>;

/** One pair of machines, and what is running there for it. */
export class Bench {
  readonly figures: Figures = new Map();
  readonly #way: Way;
  readonly #talk: string;
  readonly #options: Options;
  readonly #here: string;
  readonly #listeners: Program[] = [];

  constructor(way: Way, talk: string, options: Options) {
    this.#way = way;
    this.#talk = talk;
    this.#options = options;
    this.#here = way.directory();
  }

  #path(name: string): string {
    return `${this.#here}/${name}`;
  }

  async #listen(kind: string, name: string, bytes = 0): Promise<void> {
    const listener = this.#way.server.spawn([this.#talk, kind, this.#path(name), `${bytes}`]);
    this.#listeners.push(listener);
    await listener.prints("ready");
  }

  /** Runs talk where the client is; the numbers that it prints. */
  async #ask(command: string, name: string, amount = 0): Promise<[number, number]> {
    const program = this.#way.client.spawn([this.#talk, command, this.#path(name), `${amount}`]);
    const [first = Number.NaN, second = Number.NaN] = (await program.output(LONG_MS))
      .trim()
      .split(" ")
      .map(Number);
    return [first, second];
  }

  async run(): Promise<void> {
    await this.#listen("echo", "echo");
    await this.#latencies();
    await this.#throughput();
    await this.#beside();
    for (const listener of this.#listeners) await listener.stop();
    await this.#way.server.sh(`rm -r ${this.#here}`);
  }

  async #latencies(): Promise<void> {
    const { count } = this.#options;
    const set = (row: string, ns: number) => this.figures.set(row, ns / 1e3);
    const [p50, p99] = await this.#ask("ping", "echo", count);
    set("ping-pong p50", p50);
    set("ping-pong p99", p99);
    const [alone, whole] = await this.#ask("connect", "echo", count / 10);
    set("connect p50", alone);
    set("connect and first byte back p50", whole);
  }

  async #throughput(): Promise<void> {
    const { bytes } = this.#options;
    await this.#listen("source", "source", bytes);
    const [stream] = await this.#ask("drain", "source");
    this.figures.set("stream", stream);
    await this.#way.server.sh(`mkfifo ${this.#path("fifo")}`);
    const fill = this.#way.server.spawn([this.#talk, "fill", this.#path("fifo"), `${bytes}`]);
    const [fifo] = await this.#ask("empty", "fifo");
    await fill.output(LONG_MS);
    this.figures.set("FIFO", fifo);
  }

  /** A ping-pong beside many who do not read. */
  async #beside(): Promise<void> {
    await this.#listen("source", "stalling", STALLED_BYTES);
    const hoard = [this.#talk, "hoard", this.#path("stalling"), `${STALLED}`];
    const stalled = this.#way.client.spawn(hoard);
    await stalled.prints("ready");
    const [p50, p99] = await this.#ask("ping", "echo", this.#options.count);
    this.figures.set(`ping-pong p50 beside ${STALLED} stalled readers`, p50 / 1e3);
    this.figures.set(`ping-pong p99 beside ${STALLED} stalled readers`, p99 / 1e3);
    await stalled.stop("SIGKILL");
  }

  /** The path of files in the same run, for a machine that has the share mounted. */
  async files(): Promise<void> {
    const { bytes, count } = this.#options;
    const [write] = await this.#ask("write", "file", bytes);
    const [read] = await this.#ask("read", "file");
    const [rtt] = await this.#ask("stat", "file", count);
    this.figures.set("file written", write);
    this.figures.set("file read", read);
    this.figures.set("round trip of the wire (statx) p50", rtt / 1e3);
  }
}
