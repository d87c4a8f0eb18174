/** `qtfs info --watch`: the same again each second, until it is interrupted. */
import { formatReport } from "./format/daemon.ts";
import { formatList } from "./format/list.ts";
import { formatRates } from "./format/rates.ts";
import { type DaemonReport, SCHEMA } from "./report.ts";

const INTERVAL_MS = 1_000;
/** Cursor to the upper left corner, and what was below it away (ECMA-48: CUP, ED). */
const CLEAR = "\x1b[H\x1b[J";

/** Where to look, and where to write. */
export interface Watch {
  /** The daemons meant; throws a sentence when there are none any more. */
  look(): Promise<DaemonReport[]>;
  /** `list`: a line for each; `rates`: what is done per second; `json`: a line of JSON each time. */
  form: "list" | "rates" | "json";
  isTerminal: boolean;
  write(text: string): void;
}

/** Shows until `end`; the first look is shown at once. */
export async function watch(
  { look, form, isTerminal, write }: Watch,
  end: Promise<void>,
): Promise<void> {
  let before: readonly DaemonReport[] = [];
  let lookedAtMs = performance.now();
  let over = false;
  const ended = end.then(() => {
    over = true;
  });
  while (!over) {
    const now = await look();
    const seconds = (performance.now() - lookedAtMs) / 1000;
    lookedAtMs = performance.now();
    write((isTerminal && form !== "json" ? CLEAR : "") + shown(form, before, now, seconds));
    before = now;
    await Promise.race([ended, Bun.sleep(INTERVAL_MS)]);
  }
}

function shown(
  form: Watch["form"],
  before: readonly DaemonReport[],
  now: readonly DaemonReport[],
  seconds: number,
): string {
  if (form === "json") return `${JSON.stringify({ schema: SCHEMA, daemons: now })}\n`;
  if (form === "list") return `${formatList(now)}\n`;
  // What was done before the first look is no rate: the whole report is shown.
  if (before.length === 0) return now.map(formatReport).join("\n");
  return now
    .map((one) => {
      const same = before.find(({ kind, pid }) => kind === one.kind && pid === one.pid);
      return `${formatList([one])}\n${formatRates(same, one, seconds)}`;
    })
    .join("\n");
}
