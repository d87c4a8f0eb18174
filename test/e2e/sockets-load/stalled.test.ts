/** A hundred who do not read what they get, beside others who do. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";

const STALLED = 100;
const FLOOD_BYTES = 4 << 20;
/** Of each program, and of each test. */
const PROGRAM_MS = 20_000;
const TEST_MS = 30_000;
const machines = await Machines.start();
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  test(
    "readers of streams that stall hold up nobody, and get all of it in the end",
    async () => {
      const here = directory();
      const flood = server.spawn([peer, "flood", `${here}/flood`, `${FLOOD_BYTES}`]);
      const echo = server.spawn([peer, "serve", here, "0", "1"]);
      await Promise.all([flood.prints("ready"), echo.prints("ready")]);
      const hoard = client.spawn([peer, "hoard", `${here}/flood`, `${STALLED}`]);
      await hoard.prints("ready");

      const others = client.spawn([peer, "dial", here, "0", "1", "20", "200"]);
      expect(await others.output(PROGRAM_MS)).toBe("20 connections, 4000 messages\n");
      // At the very socket that floods the others, too.
      const late = client.spawn([peer, "hoard", `${here}/flood`, "1"]);
      await late.prints("ready");
      late.say("\n");
      const [, sum] = (await late.output(PROGRAM_MS)).split("\n");
      expect(sum).toStartWith(`1 times ${FLOOD_BYTES - 1} bytes `);
      expect(hoard.stdout).toBe("ready\n");

      hoard.say("\n");
      expect(await hoard.output(PROGRAM_MS)).toBe(`ready\n${sum?.replace("1", `${STALLED}`)}\n`);
    },
    TEST_MS,
  );

  test(
    "readers of FIFOs that stall hold up nobody, and get all of it in the end",
    async () => {
      const here = directory();
      const last = STALLED - 1;
      await server.sh(`mkfifo f{0..${STALLED}}`, { cwd: here });
      const open = `for i in {0..${last}}; do exec {fd}<f$i; fds[i]=$fd; done; echo ready; read`;
      const read = `for i in {0..${last}}; do cat <&\${fds[i]} | wc -c; done | uniq -c`;
      const readers = client.spawn(["bash", "-c", `${open}; ${read}`], { cwd: here });
      const write = `for i in {0..${last}}; do head -c 1000000 /dev/zero >f$i & done; wait`;
      const writers = server.spawn(["bash", "-c", write], { cwd: here });
      await readers.prints("ready");
      const pour = server.spawn([peer, "pour", `${here}/f${STALLED}`, `${20 << 20}`]);
      const sum = await client.sh(`sha1sum <f${STALLED}`, { cwd: here });
      expect(sum.split(" ")[0]).toBe((await pour.output(PROGRAM_MS)).trim());
      expect(writers.hasEnded).toBe(false);
      readers.say("\n");
      expect((await readers.output(PROGRAM_MS)).trim()).toMatch(/^ready\n *100 1000000$/);
      await writers.output();
    },
    TEST_MS,
  );

  test(
    "a server that stalls holds up those who write to it, and nobody else",
    async () => {
      const here = directory();
      const stall = server.spawn([peer, "stall", `${here}/stall`]);
      const echo = server.spawn([peer, "serve", here, "0", "1"]);
      await Promise.all([stall.prints("ready"), echo.prints("ready")]);
      const writers = Array.from({ length: 10 }, () =>
        client.spawn([peer, "say", "unix", `${here}/stall`, "z".repeat(100_000)]),
      );
      for (const writer of writers) await writer.prints("to ");
      const others = client.spawn([peer, "dial", here, "0", "1", "20", "200"]);
      expect(await others.output(PROGRAM_MS)).toBe("20 connections, 4000 messages\n");
      await stall.stop("SIGKILL");
      for (const writer of writers) {
        // It had sent some or all: then the connection is over in one way or another.
        await writer.ended(PROGRAM_MS);
        expect(writer.stdout).toMatch(/reset by peer|broken pipe|^to .*\n\n$/);
      }
    },
    TEST_MS,
  );
});
