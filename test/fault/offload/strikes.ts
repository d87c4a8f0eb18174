/** What happens to daemons, links and qtfs while a container runs, and in which order: from a seed. */

import type { Stage } from "../../e2e/offload/stage.ts";
import { QTFS } from "../../e2e/support/server.ts";
import { random } from "../../support/random.ts";

export const KINDS = [
  "dockerd",
  "containerd",
  "cut",
  "mounts",
  "supervisors",
  "rexec-server",
  "server",
] as const;
export type Kind = (typeof KINDS)[number];

export interface Strike {
  kind: Kind;
  /** From it to what makes it good, or how long the link is cut. */
  downMs: number;
}

const LONGEST_MS = 1500;

/** One of `kinds` for each round: all of them before any comes again. */
export function strikesOf(seed: number, rounds: number, kinds: readonly Kind[] = KINDS): Strike[] {
  const chance = random(seed);
  let bag: Kind[] = [];
  return Array.from({ length: rounds }, () => {
    if (bag.length === 0) bag = [...kinds];
    const [kind] = bag.splice(chance.below(bag.length), 1) as [Kind];
    return { kind, downMs: chance.below(LONGEST_MS) };
  });
}

/** Carries one out, and has `up` make good what it must on either side. */
export async function strike(stage: Stage, { kind, downMs }: Strike): Promise<void> {
  const { host, dpu } = stage;
  const up = (side: string) => `${QTFS} offload up --side ${side} --config ${stage.config}`;
  const killed = {
    dockerd: "dockerd",
    containerd: "containerd",
    mounts: "qtfs",
    supervisors: "qtfs-supervisor",
  };
  if (kind === "cut") {
    await dpu.sh(`ip link set wire down; sleep ${downMs / 1000}; ip link set wire up`);
  } else if (kind === "server" || kind === "rexec-server") {
    await host.sh(`kill -KILL $(pgrep -f '^[^ ]*qtfs ${kind} ')`);
    await Bun.sleep(downMs);
    await host.sh(up("host"));
  } else {
    await dpu.sh(`kill -KILL $(pgrep -x ${killed[kind]})`);
    await Bun.sleep(downMs);
  }
  await dpu.sh(up("dpu"));
}
