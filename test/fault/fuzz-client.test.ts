/**
 * A hostile server: whatever it sends, the mount's process does not crash or
 * grow, every caller gets an answer that the kernel takes, and the mount can be
 * unmounted. QTFS_SEED repeats a run.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { MountReport } from "../../src/info/report.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Event } from "../../src/wire/ops.ts";
import { eventually } from "../e2e/mounts/caller.ts";
import { mountsAt, report, residentMb } from "../e2e/mounts/world.ts";
import { run } from "../e2e/support/run.ts";
import { QTFS } from "../e2e/support/server.ts";
import { random, seedFor } from "../support/random.ts";
import { TestServer } from "../support/server.ts";
import { type Exchange, record } from "./fuzz-client/corpus.ts";
import { encode, frameOf } from "./fuzz-client/mutate.ts";
import { HostileProxy } from "./fuzz-client/proxy.ts";
import { HONEST, type Malice, type Outcome, ReactorProcess } from "./fuzz-client/session.ts";

/** Spoilt or uninvited frames that the client is to take in, in all. */
const HOSTILE_FRAMES = 100_000;
const REQUESTS_MAX = 12;
/** Sessions of one process, and after how many its memory is looked at. */
const SESSIONS_EACH = 4000;
const SESSIONS_WARM = 1000;
const GROWTH_KB_MAX = 40 * 1024;
/** Changes told in one go, and the memory they may take. */
const FLOOD = 500_000;
const FLOOD_KB_MAX = 250 * 1024;

const ROUNDS = 32;
const AT_ONCE = 4;
const ROUND_MS = 800;
const RESIDENT_MB_MAX = 250;
const MOUNT_MS = 20_000;
const GONE_MS = 30_000;
const UMOUNT_MS = 30_000;
const END_MS = 30_000;
const TIME_MS = 240_000;

const rng = random(seedFor("fuzz-client"));
const directory = mkdtempSync(`${tmpdir()}/qtfs-fuzz-`);
let corpus: Exchange[];

beforeAll(async () => {
  corpus = await record();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("the reactor", () => {
  test("gives the kernel an honest server's answers", async () => {
    const reactor = await ReactorProcess.start(directory);
    try {
      for (const exchange of corpus) {
        const { errors, fault, refused } = reactor.run([exchange], rng, HONEST);
        expect([exchange.opcode, errors, fault, refused]).toEqual([
          exchange.opcode,
          [0],
          undefined,
          0,
        ]);
      }
      const together = reactor.run(corpus, rng, HONEST);
      expect(new Set(together.errors)).toEqual(new Set([0]));
      expect(together.fault).toBeUndefined();
    } finally {
      await reactor.end();
    }
  });

  test(
    `withstands ${HOSTILE_FRAMES} hostile frames`,
    async () => {
      let [taken, sent, sessions, faults] = [0, 0, 0, 0];
      while (taken < HOSTILE_FRAMES) {
        const reactor = await ReactorProcess.start(directory);
        try {
          const anonymousKb: number[] = [];
          for (let i = 0; i < SESSIONS_EACH && taken < HOSTILE_FRAMES; i++) {
            const outcome = runHostile(reactor);
            taken += outcome.taken;
            sent += outcome.hostile;
            if (outcome.fault !== undefined) faults++;
            anonymousKb.push(outcome.anonymousKb);
            sessions++;
          }
          // What it needs for its work it has after a while.
          const early = anonymousKb[SESSIONS_WARM] ?? Number.POSITIVE_INFINITY;
          expect((anonymousKb.at(-1) ?? 0) - early).toBeLessThan(GROWTH_KB_MAX);
        } finally {
          await reactor.end();
        }
      }
      console.log(`${sessions} sessions, ${sent} hostile frames sent, ${taken} taken in`);
      console.log(`${faults} sessions were ended by the client`);
    },
    TIME_MS,
  );

  test(
    "does not grow by changes that it is told of without end",
    async () => {
      const reactor = await ReactorProcess.start(directory);
      try {
        const [request] = corpus as [Exchange];
        const before = reactor.run([request], rng, HONEST).anonymousKb;
        const events = Array.from({ length: FLOOD }, (_, i) => {
          const name = Buffer.from(`name${i}`);
          return encode(frameOf(Kind.EVENT, [BigInt(Event.RENAMED), 1n, name, 0n]));
        });
        const prelude = Buffer.concat(events);
        const outcome = reactor.run([request], rng, { ...HONEST, prelude });
        console.log(`a flood of changes took ${(outcome.anonymousKb - before) >> 10} MB`);
        expect(outcome.anonymousKb - before).toBeLessThan(FLOOD_KB_MAX);
        expect(outcome.fault).toContain("changes");
      } finally {
        await reactor.end();
      }
    },
    TIME_MS,
  );
});

/** One session; what must hold for each is looked at here and in session.ts. */
function runHostile(reactor: ReactorProcess): Outcome {
  const count = 1 + rng.below(REQUESTS_MAX);
  const requests = new Set(Array.from({ length: count }, () => rng.pick(corpus)));
  const malice = {
    spoilt: rng.pick([0.2, 0.5, 1]),
    gentle: rng.pick([1, 0.95, 0.5]),
    unsolicited: 4,
  };
  const outcome = reactor.run([...requests], rng, malice);
  // A fault that the client has not foreseen comes with a stack.
  expect(outcome.fault ?? "").not.toContain("\n");
  expect(outcome.refused).toBe(0);
  return outcome;
}

/** Programs that do all kinds of things at `{}` until they are ended; all of them may fail. */
const CALLERS = [
  "while :; do stat {} {}/small {}/directory/*; ls -la {} {}/directory; done",
  "while :; do cat {}/small {}/large {}/link; head -c 100000 {}/large; done",
  "while :; do echo data >{}/w$BASHPID; truncate -s 99 {}/w$BASHPID; rm -f {}/w$BASHPID; done",
  "while :; do mkdir {}/d; mv {}/d {}/e; ln -sf x {}/l; readlink {}/l; rmdir {}/e; done",
  "while :; do getfattr -d -m- {}/small; flock -n {}/small true; df {}; sync -f {}; done",
];

interface Round {
  server: TestServer;
  name: string;
  malice: Malice;
}

/** Mounts through a hostile server, has programs call on it, and takes it away. */
async function hostileRound({ server, name, malice }: Round): Promise<string> {
  const socket = `${directory}/${name}.sock`;
  const target = `${directory}/${name}`;
  mkdirSync(target);
  const proxy = new HostileProxy(socket, server.address, rng, malice);
  const options = `server=unix://${socket},timeout=2`;
  const daemon = Bun.spawn([QTFS, "mount", "-f", "-o", options, server.share, target], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log = daemon.stderr.text();
  const callers: Bun.Subprocess[] = [];
  try {
    await eventually(() => mountsAt(target).length === 1, "it is mounted", MOUNT_MS);
    proxy.armed = true;
    for (const script of CALLERS) {
      const command = ["bash", "-c", script.replaceAll("{}", target)];
      const stdio: ["ignore", "ignore", "ignore"] = ["ignore", "ignore", "ignore"];
      callers.push(Bun.spawn(command, { stdio, cwd: "/", detached: true }));
    }
    await Bun.sleep(ROUND_MS);
    expect(daemon.exitCode).toBeNull();
    const { totals } = await report<MountReport>(daemon.pid);
    expect(totals.refused).toBe(0);
    expect(residentMb(daemon.pid)).toBeLessThan(RESIDENT_MB_MAX);
    for (const caller of callers) killGroup(caller.pid);
    const left = () => callers.filter(({ pid }) => killGroup(pid));
    await eventually(() => left().length === 0, "all callers are gone", GONE_MS);
    expect((await run(["umount", "--lazy", target], { timeoutMs: UMOUNT_MS })).code).toBe(0);
    proxy.close();
    await eventually(() => daemon.exitCode !== null, "the mount's process has ended", END_MS);
    expect(daemon.exitCode).toBe(0);
    expect(mountsAt(target)).toEqual([]);
    return await log;
  } finally {
    for (const caller of callers) killGroup(caller.pid);
    if (mountsAt(target).length > 0) await run(["umount", "--lazy", "--force", target]);
    daemon.kill("SIGKILL");
    proxy.close();
  }
}

/**
 * Kills a caller and what it has started, which may wait for ever: a file may be said to be a
 * FIFO. Whether anybody was there.
 */
function killGroup(pid: number): boolean {
  try {
    process.kill(-pid, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

/** What the kernel has to complain of, about FUSE. */
function kernelComplaints(): string[] {
  const { stdout } = Bun.spawnSync(["dmesg"]);
  const lines = stdout.toString().split("\n");
  return lines.filter((line) => /BUG:|WARNING:|Oops|blocked for more than|fuse/i.test(line));
}

test(
  `${ROUNDS} real mounts withstand it`,
  async () => {
    const before = kernelComplaints();
    const server = await TestServer.start();
    const ended: string[] = [];
    try {
      mkdirSync(server.path("directory"));
      for (let i = 0; i < 30; i++) writeFileSync(server.path("directory", `entry${i}`), "");
      writeFileSync(server.path("small"), "small");
      writeFileSync(server.path("large"), Buffer.alloc(3_000_000, "l"));
      symlinkSync("small", server.path("link"));
      for (let i = 0; i < ROUNDS; i += AT_ONCE) {
        const rounds = Array.from({ length: AT_ONCE }, (_, j): Round => {
          const spoilt = rng.pick([0.001, 0.01, 0.1, 0.5]);
          const malice = { spoilt, gentle: rng.pick([1, 0.98, 0.9]), unsolicited: 3 };
          return { server, name: `round${i + j}`, malice };
        });
        ended.push(...(await Promise.all(rounds.map(hostileRound))));
      }
      expect(server.alive).toBe(true);
    } finally {
      await server.stop();
    }
    const closed = ended.filter((log) => log.includes("not understood")).length;
    console.log(`${ended.length} mounts, ${closed} of them closed their connection`);
    expect(ended.filter((log) => log.includes("    at "))).toEqual([]);
    expect(kernelComplaints()).toEqual(before);
  },
  TIME_MS,
);
