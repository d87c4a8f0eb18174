/**
 * `qtfs supervise`. Its options end with the program's name; what follows is the program's,
 * byte for byte.
 */
import { isLogLevel, LOG_LEVELS } from "../info/log.ts";
import { readWords } from "../rexec/client/caller.ts";
import { sentenceOf, UsageError } from "./errors.ts";
import { program } from "./program.ts";

/** As env(1) and the like: the program was not run. */
const FAILED = 125;

export const superviseProgram = program({
  name: "qtfs supervise",
  description:
    "Runs a program whose calls on what the HOST shares are carried out on the HOST: what it " +
    "mounts and unmounts there, and what statfs(2) tells of it. This holds for all that the program " +
    "starts, too. Everything else is done by this machine's kernel as ever. Needs root.",
  examples: [
    {
      command: "qtfs supervise -- dockerd",
      does: "Its overlays are mounted where containers run.",
    },
    {
      command: "qtfs supervise --abstract '@/shim/*' -- containerd",
      does: "It finds sockets of those abstract names on the HOST.",
    },
    {
      command: "qtfs supervise -- chroot /srv/root containerd",
      does: "The same in a root of its own.",
    },
  ],
  args: {
    program: {
      type: "positional",
      required: true,
      valueHint: "-- PROGRAM [ARGS…]",
      description: "What is run. This process becomes it.",
    },
    abstract: {
      type: "string",
      valueHint: "PATTERN",
      description:
        "Abstract names of unix sockets that are the HOST's too, as @/containerd-shim/*; several with " +
        "commas between them. Whoever connects to one here reaches who has it on the HOST, and what is " +
        "bound here is bound there. The server has to allow the class names. Each connect(2) and " +
        "bind(2) of these programs, whatever the socket, then takes some 15 µs longer.",
    },
    "log-level": {
      type: "enum",
      options: [...LOG_LEVELS],
      valueHint: "LEVEL",
      description: `What the supervisor logs: ${LOG_LEVELS.join(", ")}. At debug each call.`,
    },
  },
  exitCodes: { failed: FAILED, usage: FAILED },
  run: async () => FAILED,
});

/** Runs `qtfs supervise` with the last `count` words of the command line. */
export async function runSupervise(count: number): Promise<number> {
  const words = readWords().slice(-count || Number.MAX_SAFE_INTEGER);
  try {
    const end = words.findIndex((word) => word.toString() === "--");
    const own = words.slice(0, Math.max(end, 0)).map((word) => word.toString());
    const argv = end < 0 ? words : words.slice(end + 1);
    const { checkWords } = await import("./arguments.ts");
    const first = argv[0]?.toString() ?? "";
    const { help, normalised } = checkWords(
      end < 0 && first.startsWith("-") ? [first] : [...own, "--", first],
      superviseProgram,
    );
    if (help) {
      const { renderHelp } = await import("./help.ts");
      process.stdout.write(renderHelp(superviseProgram));
      return 0;
    }
    if (count === 0 || argv.length === 0) throw new UsageError("say what to run: -- PROGRAM");
    const level = normalised.find((word) => word.startsWith("--log-level="))?.split("=")[1];
    const abstract = normalised.find((word) => word.startsWith("--abstract="));
    const { launch } = await import("../supervisor/launch.ts");
    return await launch({
      argv,
      logLevel: isLogLevel(level) ? level : "info",
      abstract: abstract?.slice("--abstract=".length).split(",").filter(Boolean) ?? [],
    });
  } catch (error) {
    const hint = error instanceof UsageError ? ' (try "qtfs supervise --help")' : "";
    process.stderr.write(`qtfs supervise: ${sentenceOf(error)}${hint}\n`);
    return FAILED;
  }
}
