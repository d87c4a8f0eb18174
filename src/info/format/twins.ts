/** Sockets and FIFOs of a mount, and who is connected, for people. */
import type { MeetingReport, TwinsReport } from "../../client/twins/report.ts";
import { printable } from "../printable.ts";
import { bytes, duration, integer } from "../units.ts";
import { columns } from "./table.ts";

/** Rows of each of these tables. */
const SHOWN_MAX = 100;
const KINDS: Readonly<Record<MeetingReport["kind"], string>> = {
  socket: "of the HOST",
  bound: "bound here",
  fifo: "FIFO",
};

/** What the process that serves sockets and FIFOs says, for people. */
export function formatTwins(twins: TwinsReport): string {
  const { losses, meetingCount, pid, resumes, streamCount } = twins;
  const state = twins.connected ? "connected" : "NOT connected";
  const history = `${resumes} times resumed, ${losses} times lost`;
  const head = `\nsockets and FIFOs, process ${pid}, ${state}, ${history}\n`;
  const places = twins.meetings
    .slice(0, SHOWN_MAX)
    .map(({ kind, path, type, connections }) => [
      KINDS[kind],
      type,
      integer(connections),
      printable(path),
    ]);
  const streams = twins.streams.slice(0, SHOWN_MAX).map((one) => {
    const { ageSeconds, bytesIn, bytesOut, credit, path, peer, waiting } = one;
    const figures = [bytesOut, bytesIn, waiting, credit].map(bytes);
    return [...figures, duration(ageSeconds), printable(peer), printable(path)];
  });
  const placeTable = columns([["kind", "type", "connections", "path"], ...places], [2]);
  const streamHeads = ["to HOST", "from HOST", "waiting", "credit", "age", "peer", "path"];
  const streamTable = columns([streamHeads, ...streams], [0, 1, 2, 3]);
  return [
    head,
    ...(places.length > 0 ? [placeTable, more(meetingCount, places.length)] : []),
    ...(streams.length > 0 ? ["\n", streamTable, more(streamCount, streams.length)] : []),
  ].join("");
}

function more(count: number, shown: number): string {
  return count > shown ? `and ${integer(count - shown)} more\n` : "";
}
