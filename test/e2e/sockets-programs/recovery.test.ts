/** Sockets in the share while the wire is cut, the mount's process or the server is killed. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";
import { until } from "../support/program.ts";

const FLOOD_BYTES = 64 << 20;
const CUT_MS = 1500;
const MINUTES = 60_000;
const machines = await Machines.start({ wire: "tcp", native: false });
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  let here = "";
  /** Starts who listens in `here`: one that echoes, one that floods. */
  const listen = async () => {
    here = directory();
    const echo = server.spawn([peer, "serve", here, "0", "1"]);
    const flood = server.spawn([peer, "flood", `${here}/flood`, `${FLOOD_BYTES}`]);
    await Promise.all([echo.prints("ready"), flood.prints("ready")]);
    listeners = [echo, flood];
  };
  let listeners: { stop(): Promise<void> }[] = [];
  beforeEach(listen);
  afterEach(async () => {
    for (const listener of listeners.splice(0)) await listener.stop();
  });

  const dial = () => client.spawn([peer, "dial", here, "0", "1", "5", "20"]);
  /** New connections work, if not yet, then soon. */
  const works = async () => {
    let last = dial();
    await until(
      async () => {
        if ((await last.ended()) === 0) return true;
        last = dial();
        return false;
      },
      () => `connections: ${last}`,
    );
  };
  const hoard = async () => {
    const started = client.spawn([peer, "hoard", `${here}/flood`, "3"]);
    await started.prints("ready");
    return started;
  };
  const whole = new RegExp(`^ready\n3 times ${FLOOD_BYTES - 1} bytes .*\n$`);

  test(
    "a cut wire costs time and not a byte",
    async () => {
      const hoarding = await hoard();
      const cut = machines.cutWire(CUT_MS);
      hoarding.say("\n");
      const dialing = dial();
      await cut;
      expect(await hoarding.output(MINUTES)).toMatch(whole);
      expect(await dialing.output(MINUTES)).toBe("5 connections, 100 messages\n");
    },
    2 * MINUTES,
  );

  test(
    "the mount's process is killed: streams go on, listeners listen",
    async () => {
      const hoarding = await hoard();
      await machines.killMount();
      hoarding.say("\n");
      expect(await hoarding.output(MINUTES)).toMatch(whole);
      await works();
    },
    2 * MINUTES,
  );

  test(
    "the server is killed: streams go on, listeners listen",
    async () => {
      const hoarding = await hoard();
      const restarting = machines.restartServer();
      hoarding.say("\n");
      await restarting;
      expect(await hoarding.output(MINUTES)).toMatch(whole);
      expect(await dial().output(MINUTES)).toBe("5 connections, 100 messages\n");
    },
    2 * MINUTES,
  );
});
