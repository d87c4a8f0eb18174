/** Certificates: how long they are good for, and whether this machine's clock agrees with them. */
import { X509Certificate } from "node:crypto";
import { readIdentity } from "../../identity/client.ts";
import { DEFAULT_DIRECTORY, IdentityDirectory } from "../../identity/directory.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";

const DAY_MS = 86_400_000;
/** From here on an end is near. */
const SOON_DAYS = 30;

/** Findings about the server's own identities, where there are any, and about clients' `files`. */
export function examineIdentities(
  files: readonly string[],
  directory = DEFAULT_DIRECTORY,
  nowMs = Date.now(),
): Finding[] {
  return [...serverIdentities(directory, nowMs), ...files.flatMap((path) => client(path, nowMs))];
}

function serverIdentities(path: string, nowMs: number): Finding[] {
  const directory = new IdentityDirectory(path);
  if (!directory.exists) return [];
  return guarded(path, () => {
    const [own] = directory.credentials().certificates;
    const { validFrom, validTo } = new X509Certificate(own as string);
    const renew = "qtfs server renew";
    const { names } = directory.names();
    const clients = Object.entries(names).flatMap(([name, { expires }]) => {
      if (expires === undefined) return [];
      const left = Date.parse(expires) - nowMs;
      if (left > SOON_DAYS * DAY_MS) return [];
      const says = left < 0 ? `Client ${name}'s has expired.` : `Client ${name}'s ${ends(left)}.`;
      return [warning(path, says, `${renew} ${name}`)];
    });
    return [period(path, new Date(validFrom), new Date(validTo), nowMs, renew), ...clients];
  });
}

function client(path: string, nowMs: number): Finding[] {
  return guarded(path, () => {
    const { notBefore, notAfter } = readIdentity(path);
    return [period(path, notBefore, notAfter, nowMs, "On the HOST: qtfs server renew NAME")];
  });
}

/** What cannot be read is a finding, too. */
function guarded(path: string, examine: () => Finding[]): Finding[] {
  try {
    return examine();
  } catch (error) {
    const advice = "Its connections fail until that is mended.";
    return [failure(path, `${(error as Error).message}.`, advice)];
  }
}

function period(path: string, from: Date, to: Date, nowMs: number, renew: string): Finding {
  const left = to.getTime() - nowMs;
  if (nowMs < from.getTime()) {
    const says = `Its certificate is good from ${from.toISOString()} on, and here it is ${new Date(nowMs).toISOString()}.`;
    return failure(path, says, "Set the clock.");
  }
  if (left < 0) return failure(path, `Its certificate ended at ${to.toISOString()}.`, renew);
  if (left < SOON_DAYS * DAY_MS) return warning(path, `Its certificate ${ends(left)}.`, renew);
  return ok(path, `good until ${to.toISOString()}`);
}

function ends(leftMs: number): string {
  return `ends in ${Math.floor(leftMs / DAY_MS)} days`;
}
