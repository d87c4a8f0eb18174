/** qtfs over a unix socket, over TCP without TLS, and with it. */
import { existsSync } from "node:fs";
import { run } from "../processes.ts";
import type { Contestant, Place } from "./types.ts";

function mount(qtfs: string, place: Place, server: string): string[] {
  const options = [`server=${server}`];
  if (place.mode === "uncached") options.push("cache=never");
  return [qtfs, "mount", "-f", "-o", options.join(","), place.tree, place.target];
}

/** New for each start, for a killed server leaves its socket behind. */
const socketOf = (place: Place) => `${place.files}/${place.port}.sock`;

const CLIENT = "bench";

/** An authority for the server, and an identity for its one client. */
async function enroll(qtfs: string, files: string): Promise<void> {
  const file = identityOf({ files });
  if (existsSync(file)) return;
  // Each start has another port: the mount is told it.
  const address = ["--address", "tcp://127.0.0.1:1"];
  const identities = ["--identities", `${files}/tls`];
  await run([qtfs, "server", "enroll", CLIENT, ...address, "--out", file, ...identities], {});
}

const identityOf = ({ files }: { files: string }) => `${files}/${CLIENT}.identity`;

/** `prefix` names them after the build that is measured. */
export const qtfsContestants = (qtfs: string, prefix = "qtfs"): Contestant[] => [
  {
    name: `${prefix}-unix`,
    family: "qtfs",
    note: "unix socket",
    server: (place) => ({
      command: [qtfs, "server", "--listen", `unix://${socketOf(place)}`, "--export", place.tree],
      listens: { unix: socketOf(place) },
    }),
    mount: (place) => mount(qtfs, place, `unix://${socketOf(place)}`),
  },
  {
    name: `${prefix}-tcp`,
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
  {
    name: `${prefix}-tls`,
    family: "qtfs",
    note: "TCP on the loopback, TLS 1.3 with certificates on both sides",
    prepare: (files) => enroll(qtfs, files),
    server: ({ port, tree, files }) => ({
      command: [
        ...[qtfs, "server", "--listen", `tcp://127.0.0.1:${port}`],
        ...["--identities", `${files}/tls`, "--export", tree],
      ],
      listens: { port },
    }),
    mount: (place) =>
      mount(qtfs, place, `tcp://127.0.0.1:${place.port},identity=${identityOf(place)}`),
  },
];
