/** Does the faults of a plan to a stage. */

import { random } from "../support/random.ts";
import type { Strike } from "./check/risk.ts";
import { type Fault, faultOf, type Kind, type Scheduled } from "./plan.ts";
import { nowMs } from "./proxy/clock.ts";
import { describeFault } from "./proxy/faults.ts";
import { type Stage, signal } from "./stage.ts";

/** A fault of the proxy that waits for a frame waits for so long. */
const FRAME_MS = 5000;

/** Does all of them, one after the other unless they overlap; when each happened. */
export async function strikeAll(stage: Stage, faults: Scheduled[]): Promise<Strike[]> {
  const strikes: Strike[] = [];
  const all: Promise<void>[] = [];
  for (const { afterMs, overlaps, fault } of faults) {
    await Bun.sleep(afterMs);
    const done = strike(stage, fault).then((one) => {
      strikes.push(one);
    });
    // A failure is seen below; until then somebody must listen for it.
    done.catch(() => {});
    all.push(done);
    if (!overlaps) await Promise.allSettled(all);
  }
  await Promise.all(all);
  return strikes.sort((a, b) => a.fromMs - b.fromMs);
}

/** Does `count` faults of `kinds` in turn, one after the other. */
export async function strikeInTurn(
  stage: Stage,
  seed: number,
  kinds: readonly Kind[],
  count: number,
  pauseMs: number,
): Promise<Strike[]> {
  const chance = random(seed);
  const strikes: Strike[] = [];
  for (let i = 0; i < count; i++) {
    await Bun.sleep(pauseMs);
    strikes.push(await strike(stage, faultOf(kinds[i % kinds.length] as Kind, chance)));
  }
  return strikes;
}

/** Does one; returns when it is over. */
export async function strike(stage: Stage, fault: Fault): Promise<Strike> {
  if (fault.kind === "cuts") return await viaProxy(stage, fault);
  const fromMs = nowMs();
  const { kind, ...rest } = fault;
  if (fault.kind === "server-kills") {
    await stage.restartServer(fault.downMs);
  } else if (fault.kind === "server-stops") {
    // Another fault may kill it meanwhile.
    const pid = stage.serverPid;
    signal(pid, "SIGSTOP");
    await Bun.sleep(fault.forMs);
    signal(pid, "SIGCONT");
  } else if (fault.kind === "mount-kills") {
    await stage.killMount();
  } else {
    await stage.mount(["--takeover"]);
  }
  return { text: `${kind} ${JSON.stringify(rest)}`, fromMs, toMs: nowMs() };
}

async function viaProxy(
  { proxy }: Stage,
  { fault }: Extract<Fault, { kind: "cuts" }>,
): Promise<Strike> {
  const { begun, over } = proxy.do(fault);
  const late = Bun.sleep(FRAME_MS).then(() => {
    throw new Error(`No frame came within ${FRAME_MS} ms: ${describeFault(fault)}`);
  });
  const { atMs: fromMs, outstanding } = await Promise.race([begun, late]);
  const toMs = fault.fault === "corrupt" ? fromMs : (await over).atMs;
  return { text: describeFault(fault), fromMs, toMs, outstanding };
}
