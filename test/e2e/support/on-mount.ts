/**
 * Runs one command on a fresh mount: `{}` in it stands for the mountpoint.
 *
 *   bun test/e2e/support/on-mount.ts [-o OPTIONS] COMMAND ARGS…
 */
import { mountTree } from "./mount.ts";

// The command has options of its own, so only what stands before it is read.
const [first, second = "", ...rest] = process.argv.slice(2);
const options = first === "-o" ? second.split(",") : [];
const command = first === "-o" ? rest : process.argv.slice(2);

const share = await mountTree({ options });
const child = Bun.spawn(
  command.map((word) => word.replace("{}", share.mountpoint)),
  { stdio: ["inherit", "inherit", "inherit"] },
);
const code = await child.exited;
await share.close();
process.exit(code);
