/** qtfs over a unix socket, and over TCP without TLS. */
import type { Contestant, Place } from "./types.ts";

function mount(qtfs: string, place: Place, server: string): string[] {
  const options = [`server=${server}`];
  if (place.mode === "uncached") options.push("cache=never");
  return [qtfs, "mount", "-f", "-o", options.join(","), place.tree, place.target];
}

/** New for each start, for a killed server leaves its socket behind. */
const socketOf = (place: Place) => `${place.files}/${place.port}.sock`;

export const qtfsContestants = (qtfs: string): Contestant[] => [
  {
    name: "qtfs-unix",
    family: "qtfs",
    note: "unix socket",
    server: (place) => ({
      command: [qtfs, "server", "--listen", `unix://${socketOf(place)}`, "--export", place.tree],
      listens: { unix: socketOf(place) },
    }),
    mount: (place) => mount(qtfs, place, `unix://${socketOf(place)}`),
  },
  {
    name: "qtfs-tcp",
    family: "qtfs",
    note: "TCP on the loopback, no TLS",
    server: ({ port, tree }) => ({
      command: [
        ...[qtfs, "server", "--listen", `tcp://127.0.0.1:${port}`],
        ...["--insecure", "--export", tree],
      ],
      listens: { port },
    }),
    mount: (place) => mount(qtfs, place, `tcp://127.0.0.1:${place.port},insecure`),
  },
];
