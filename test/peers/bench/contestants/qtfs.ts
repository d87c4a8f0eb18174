/** qtfs over a unix socket, and over TCP without TLS. */
import { resolve } from "node:path";
import type { Contestant, Place } from "./types.ts";

export const QTFS = resolve(import.meta.dir, "../../../../dist/qtfs");

function mount(place: Place, address: string): string[] {
  const options = [`server=${address}`];
  if (place.mode === "uncached") options.push("cache=never");
  return [QTFS, "mount", "-f", "-o", options.join(","), place.tree, place.target];
}

const socketOf = (place: Place) => `${place.files}/qtfs.sock`;

export const qtfsContestants: Contestant[] = [
  {
    name: "qtfs-unix",
    family: "qtfs",
    note: "unix socket",
    server: (place) => ({
      command: [QTFS, "server", "--listen", `unix://${socketOf(place)}`, "--export", place.tree],
      listens: { unix: socketOf(place) },
    }),
    mount: (place) => mount(place, `unix://${socketOf(place)}`),
  },
  {
    name: "qtfs-tcp",
    family: "qtfs",
    note: "TCP on the loopback, no TLS",
    server: ({ port, tree }) => ({
      command: [
        ...[QTFS, "server", "--listen", `tcp://127.0.0.1:${port}`],
        ...["--insecure", "--export", tree],
      ],
      listens: { port },
    }),
    mount: (place) => mount(place, `tcp://127.0.0.1:${place.port}`),
  },
];
