/** `qtfs version` */
import { BUILD } from "../info/facts.ts";
import { VERSION_MAX, VERSION_MIN } from "../wire/limits.ts";
import { program } from "./program.ts";

export const version = program({
  name: "qtfs version",
  description: "Prints the version of qtfs and of the protocols that it speaks.",
  examples: [{ command: "qtfs version", does: "qtfs 0.1.0, protocol 1" }],
  args: {},
  run: async () => {
    const range = VERSION_MIN === VERSION_MAX ? `${VERSION_MAX}` : `${VERSION_MIN}-${VERSION_MAX}`;
    process.stdout.write(`qtfs ${BUILD}, protocol ${range}\n`);
    return 0;
  },
});
