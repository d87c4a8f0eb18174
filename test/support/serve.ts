/** A server in a process of its own: `bun serve.ts '<json of its listen, exports, leaseMs, uids>'`. */
import { startServer } from "../../src/server/daemon.ts";
import { parseAddress } from "../../src/transport/address.ts";

const { listen, exports, leaseMs, uids = [0] } = JSON.parse(process.argv[2] ?? "{}");
const daemon = startServer({
  listen: listen.map(parseAddress),
  exports,
  insecure: true,
  uids,
  leaseMs,
  command: [process.execPath, new URL("../../src/main.ts", import.meta.url).pathname],
  log: (level, text) => process.stderr.write(`${level}: ${text}\n`),
});
process.stdout.write("ready\n");

process.stdin.on("data", (request) => {
  if (String(request).startsWith("snapshot")) {
    process.stdout.write(`${JSON.stringify(daemon.snapshot())}\n`);
  }
});
// Whoever started the server has ended, or wants it to end.
process.stdin.on("end", async () => {
  await daemon.stop("end");
  process.exit(0);
});
