/** Pairs of terminals, held by processes of pty.c. */
const BOUND_MS = 30_000;

/** Builds pty.c into `directory`; the path of the program. */
export async function buildPty(directory: string): Promise<string> {
  const program = `${directory}/pty`;
  const source = new URL("./pty.c", import.meta.url).pathname;
  const cc = Bun.spawn(["cc", "-Wall", "-Werror", "-pthread", "-o", program, source]);
  if ((await cc.exited) !== 0) throw new Error("pty.c cannot be built");
  return program;
}

const running: { kill(signal: NodeJS.Signals): void }[] = [];

/** Ends all that still run. */
export function endTalks(): void {
  for (const one of running.splice(0)) one.kill("SIGKILL");
}

/** A program that runs, and what it has printed. */
export class Talk {
  readonly child;
  output = "";

  constructor(...command: string[]) {
    this.child = Bun.spawn(command, { stdio: ["pipe", "pipe", "inherit"] });
    running.push(this.child);
    this.#read();
  }

  async #read(): Promise<void> {
    for await (const chunk of this.child.stdout) this.output += Buffer.from(chunk).toString();
  }

  say(text: string): void {
    this.child.stdin.write(text);
    this.child.stdin.flush();
  }

  /** Waits until it has printed `text`. */
  async prints(text: string): Promise<void> {
    await eventually(
      () => this.output.includes(text),
      () => `${text} in ${this.output}`,
    );
  }

  /** Its exit code or signal, once it has ended. */
  async ended(): Promise<number | string> {
    await eventually(
      () => this.child.exitCode !== null || this.child.signalCode !== null,
      () => "its end",
    );
    return this.child.exitCode ?? (this.child.signalCode as string);
  }
}

export async function eventually(isSo: () => boolean, what: () => string): Promise<void> {
  const endMs = performance.now() + BOUND_MS;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`Waited in vain for ${what()}`);
    await Bun.sleep(10);
  }
}

/** A pair of which the master is held by a process: that, and the slave's name. */
export async function openPair(program: string, ptmx: string): Promise<[Talk, string]> {
  const master = new Talk(program, "relay", ptmx);
  await master.prints("\n");
  const name = master.output.trim();
  if (!/^\d+$/.test(name)) throw new Error(`No pair: ${name}`);
  return [master, name];
}
