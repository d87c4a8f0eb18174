/** What `qtfs offload` does is a list of steps; each can be looked at, done and undone by itself. */

/** What a step needs for its undoing, as JSON. */
export type Note = string | number | null;

export interface Step {
  /** What stands when it is done; unique in a plan, and the same each time. */
  readonly name: string;
  /** The same by hand: lines for a shell. */
  readonly commands: readonly string[];
  /** Whether it stands already, whoever has done it. */
  isDone(): boolean | Promise<boolean>;
  /** Does it; throws a sentence. The note is kept for `undo`. */
  run(): Note | Promise<Note>;
  /** Undoes it as far as it stands; `note` is undefined where another has done it. */
  undo(note: Note | undefined): void | Promise<void>;
}

/** Where daemons of an offload look for programs. */
export const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where an offload's steps are carried out. */
export type Side = "host" | "dpu";

/** `words` as a line that a shell takes for them. */
export function shellLine(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
}

const COMMAND_MS = 60_000;

/** Runs a program to its end; throws what it has said where it fails. */
export async function execute(words: readonly string[]): Promise<void> {
  const child = Bun.spawn([...words], {
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: COMMAND_MS,
    killSignal: "SIGKILL",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0) return;
  const said = `${out}${err}`.trim().slice(-1000) || `exit code ${code}`;
  throw new Error(`${shellLine(words)}: ${said}`);
}
