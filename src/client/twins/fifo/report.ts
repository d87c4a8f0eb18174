/** FIFOs, as `qtfs info` shows them. */
import type { MountNews } from "../channel.ts";
import type { MeetingReport, StreamReport } from "../report.ts";
import type { FifoFigures } from "./fifos.ts";

/** A path whose characters are its bytes, as others in a report are until they are shown. */
const asBytes = (path: string) => Buffer.from(path).toString("latin1");

/** Rows of FIFOs that are open here, and of their streams. */
export function reportFifos(
  figures: readonly FifoFigures[],
  mount: Pick<MountNews, "target" | "source"> | undefined,
): { meetings: MeetingReport[]; streams: StreamReport[] } {
  const rows = figures.map((one) => ({ ...one, path: hostPath(one, mount) }));
  return {
    meetings: rows.map(({ path, at, openers }) => ({
      ...{ kind: "fifo", path: asBytes(path), type: at, connections: openers },
    })),
    streams: rows.map(({ path, pids, sent, received, waiting, credit, ageMs }) => ({
      ...{ path, peer: pids.length === 0 ? "" : `pid ${pids.join(", ")}` },
      ...{ bytesOut: sent, bytesIn: received, waiting, credit, ageSeconds: ageMs / 1000 },
    })),
  };
}

/** Where it is on the HOST; its node where nobody has it open yet. */
function hostPath(
  { node, path }: FifoFigures,
  mount: Pick<MountNews, "target" | "source"> | undefined,
): string {
  if (path === "") return `node ${node[0]}:${node[1]}`;
  if (mount === undefined || !path.startsWith(`${mount.target}/`)) return path;
  const below = path.slice(mount.target.length);
  return `${mount.source === "/" ? "" : mount.source}${below}`;
}
