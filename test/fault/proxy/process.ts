/** A proxy in a process of its own, as a test has it. */
import type { Command, ProxyFault, Report } from "./faults.ts";

const SCRIPT = new URL("../proxy.ts", import.meta.url).pathname;

export interface ProxyProcessOptions {
  /** Where it listens and where to it connects, as users write addresses. */
  listen: string;
  to: string;
  seed: number;
  /** Told of all that happens. */
  onReport?: (report: Report) => void;
}

export class ProxyProcess {
  readonly address: string;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #onReport: (report: Report) => void;
  readonly #waiting = new Map<string, (report: Report) => void>();
  #id = 0;

  private constructor({ listen, to, seed, onReport }: ProxyProcessOptions) {
    this.address = listen;
    this.#onReport = onReport ?? (() => {});
    const words = ["--listen", listen, "--to", to, "--seed", `${seed}`];
    this.#child = Bun.spawn([process.execPath, SCRIPT, ...words], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    void this.#listen();
  }

  /** Resolves when it listens. */
  static async start(options: ProxyProcessOptions): Promise<ProxyProcess> {
    const proxy = new ProxyProcess(options);
    await Promise.race([proxy.#report(0, "listening"), proxy.#failed()]);
    return proxy;
  }

  async #failed(): Promise<never> {
    throw new Error(`The proxy has ended with exit code ${await this.#child.exited}`);
  }

  async #listen(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = `${rest}${Buffer.from(chunk).toString()}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(JSON.parse(line) as Report);
    }
  }

  #take(report: Report): void {
    this.#onReport(report);
    const key = `${report.id} ${report.event}`;
    this.#waiting.get(key)?.(report);
    this.#waiting.delete(key);
  }

  #report(id: number, event: Report["event"]): Promise<Report> {
    return new Promise((resolve) => this.#waiting.set(`${id} ${event}`, resolve));
  }

  /**
   * Does something to the connections. `begun` resolves when it has happened
   * (truncation and corruption wait for a frame), `over` when its time is up;
   * a corruption has no end.
   */
  do(fault: ProxyFault): { begun: Promise<Report>; over: Promise<Report> } {
    const command: Command = { ...fault, id: ++this.#id };
    const begun = this.#report(command.id, "begin");
    const over = this.#report(command.id, "end");
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    this.#child.stdin.flush();
    return { begun, over };
  }

  /** Ends it and all connections through it. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#child.exited;
  }
}
