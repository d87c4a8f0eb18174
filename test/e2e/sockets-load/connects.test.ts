/**
 * A thousand connections at once, to one socket and to a thousand, from several processes;
 * and hundreds of FIFOs.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";

const CONNECTIONS = 1000;
const PROCESSES = 4;
const EACH = CONNECTIONS / PROCESSES;
const ROUNDS = 5;
const FIFOS = 500;
/** Of each program, and of each test. */
const PROGRAM_MS = 20_000;
const TEST_MS = 30_000;
const machines = await Machines.start();
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  test(
    "a thousand connections to one socket",
    async () => {
      const here = directory();
      const listener = server.spawn([peer, "serve", here, "0", "1"]);
      await listener.prints("ready");
      const dial = [peer, "dial", here, "0", "1", `${EACH}`, `${ROUNDS}`];
      const dialers = Array.from({ length: PROCESSES }, () => client.spawn(dial));
      for (const dialer of dialers) {
        expect(await dialer.output(PROGRAM_MS)).toBe(
          `${EACH} connections, ${EACH * ROUNDS} messages\n`,
        );
      }
      await listener.stop();
    },
    TEST_MS,
  );

  test(
    "a thousand connections to a thousand sockets, of several processes and one after the other",
    async () => {
      const here = directory();
      const froms = Array.from({ length: PROCESSES }, (_, i) => `${i * EACH}`);
      const listeners = froms.map((from) => server.spawn([peer, "serve", here, from, `${EACH}`]));
      for (const listener of listeners) await listener.prints("ready");
      for (let time = 0; time < 2; time++) {
        const dialers = froms.map((from) =>
          client.spawn([peer, "dial", here, from, `${EACH}`, "1", `${ROUNDS}`]),
        );
        for (const dialer of dialers) {
          expect(await dialer.output(PROGRAM_MS)).toBe(
            `${EACH} connections, ${EACH * ROUNDS} messages\n`,
          );
        }
      }
      for (const listener of listeners) await listener.stop();
      await client.sh(`[ $(ls ${here} | wc -l) = ${CONNECTIONS} ]; rm -r ${here}`);
    },
    TEST_MS,
  );

  test(
    "hundreds of FIFOs that are opened at once, before anybody opens the other end",
    async () => {
      const here = directory();
      await server.sh(`mkfifo f{0..${FIFOS - 1}}`, { cwd: here });
      for (const [first, second] of [
        ["r", "w"],
        ["w", "r"],
      ] as const) {
        const opening = client.spawn([peer, "open", first, here, `${FIFOS}`]);
        await opening.prints("ready");
        const answering = server.spawn([peer, "open", second, here, `${FIFOS}`]);
        const all = `ready\n${FIFOS} of ${FIFOS}\n`;
        expect([await opening.output(PROGRAM_MS), await answering.output(PROGRAM_MS)]).toEqual([
          all,
          all,
        ]);
      }
    },
    TEST_MS,
  );
});
