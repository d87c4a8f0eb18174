/** A process that wants to serve a mount: `bun claimchild.ts BOUND_MS`, the record is descriptor 3. */
import { claimMount } from "../../src/client/claim.ts";

const RECORD = 3;

process.stdout.write(`${claimMount(RECORD, Number(process.argv[2]))}\n`);
// Until it is killed.
process.stdin.resume();
