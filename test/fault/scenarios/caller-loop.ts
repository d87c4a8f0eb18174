/**
 * Looks for names that no file has, one after the other, each of which the server is asked for:
 *
 *   bun test/fault/scenarios/caller-loop.ts DIRECTORY
 *
 * says for every call that took long when it began and ended (proxy/clock.ts), and its errno.
 * Ends with its input.
 */
import { PosixError } from "../../conformance/posix/failure.ts";
import { lstat } from "../../conformance/posix/index.ts";
import { nowMs } from "../proxy/clock.ts";

const LONG_MS = 400;
const [directory = ""] = process.argv.slice(2);
let isOver = false;
process.stdin.on("end", () => {
  isOver = true;
});
process.stdin.resume();
process.stdout.write("ready\n");
for (let i = 0; !isOver; i++) {
  const fromMs = nowMs();
  const errno = errnoOf(`${directory}/absent-${i}`);
  const toMs = nowMs();
  if (toMs - fromMs > LONG_MS) process.stdout.write(`${JSON.stringify({ fromMs, toMs, errno })}\n`);
  // The event loop has to see the end of the input.
  await Bun.sleep(0);
}

function errnoOf(path: string): number {
  try {
    lstat(path);
    return 0;
  } catch (error) {
    if (error instanceof PosixError) return error.errno;
    throw error;
  }
}
