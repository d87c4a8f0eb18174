/** What SCM_RIGHTS carries from a program on one machine to one on the other, as on one machine. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";

const machines = await Machines.start({ alone: true });
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);

/** What peer/rights.go passes: what the other side finds; what is seen here. */
const PASSED = [
  "file at an offset: file rw at 5: 56789abcdef <nil>",
  "file to append to: file w append <nil>; 0123456789abcdefwritten by who took it",
  "file without a name: file r at 0: 0123456789abcdef <nil>",
  "directory: directory [append offset] <nil>",
  "pipe to read: pipe r at -1: through a pipe <nil>; written",
  "pipe to write: pipe w <nil>; written by who took it",
  "pipe to write much: pipe w <nil>; 4194304 bytes 22a662ad7b347bc4887ca3a1f7bcb4e1c073d27d",
  "end of a socket pair: socket over a socket <nil>; over a socket",
  "connected socket: socket over a socket <nil>; over a socket",
  "memfd: file rw at 0: in memory <nil>",
  "eventfd: anonymous 7 <nil> <nil>; 3 <nil>",
  "terminal: device 40 rows 100 columns errno 0 <nil>; typed <nil>",
  "three at once: pipe w <nil> | pipe r at -1: second <nil> | directory [append offset] <nil>; written by who took it",
  "sixty at once: 60 times pipe w <nil>; 60",
];

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  describe.each(["unix", "unixpacket"])("%s", (network) => {
    test("the client passes them to the server", async () => {
      const here = directory();
      const taker = server.spawn([peer, "take", "listen", network, `${here}/socket`]);
      await taker.prints("ready");
      const giver = client.spawn([
        peer,
        "give",
        "dial",
        network,
        `${here}/socket`,
        `${here}/files`,
      ]);
      expect((await giver.output()).split("\n").slice(0, -1)).toEqual(PASSED);
      expect(await taker.ended()).toBe(0);
    });

    test("the server passes them to the client", async () => {
      const here = directory();
      const listen = ["listen", network, `${here}/socket`];
      const giver = server.spawn([peer, "give", ...listen, `${here}/files`]);
      await giver.prints("ready");
      const taker = client.spawn([peer, "take", "dial", network, `${here}/socket`]);
      expect((await giver.output()).split("\n").slice(0, -1)).toEqual(["ready", ...PASSED]);
      expect(await taker.ended()).toBe(0);
    });
  });
});
