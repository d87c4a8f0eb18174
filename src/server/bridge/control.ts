/** The bridge's control socket, `/run/qtfs/control/bridge-PID.sock`: for `qtfs info` while there is no server. */
import type { Loop } from "../../bridge/loop.ts";
import { describeProcess } from "../../info/control.ts";
import { LoopControl } from "../../info/loopcontrol.ts";
import type { BridgeFigures } from "./messages.ts";

/** What a bridge answers, beside what every process does. */
export interface BridgeSnapshot {
  /** Whether it has a server. */
  served: boolean;
  figures: BridgeFigures;
}

export class BridgeControl extends LoopControl {
  constructor(loop: Loop, snapshot: () => BridgeSnapshot) {
    super(loop, "bridge", ({ want }) => {
      if (want !== "snapshot") throw new Error("unknown request");
      return { kind: "bridge", ...describeProcess("info"), ...snapshot() };
    });
  }
}
