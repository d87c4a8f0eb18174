/** `qtfs info doctor`: all that can be looked at without touching a mount. */
import { mounts } from "../mountinfo.ts";
import { reports } from "../query.ts";
import { type DaemonReport, isMount } from "../report.ts";
import { examineDaemons } from "./daemons.ts";
import { type Finding, warning } from "./finding.ts";
import { examineIdentities } from "./identities.ts";
import { examineMachine, thisMachine } from "./machine.ts";

/** What is found on this machine, in the order in which it matters. */
export async function examine(): Promise<Finding[]> {
  const machine = thisMachine();
  const found = examineMachine(machine);
  let daemons: DaemonReport[] = [];
  try {
    daemons = await reports();
    found.push(...examineDaemons(daemons, mounts()));
  } catch (error) {
    found.push(warning("daemons", `${(error as Error).message}.`, "Run it as root."));
  }
  const identities = daemons.filter(isMount).flatMap(({ identity }) => identity ?? []);
  return [...found, ...examineIdentities([...new Set(identities)])];
}
