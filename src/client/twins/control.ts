/** The twin process's control socket, `/run/qtfs/control/twins-PID.sock`. */
import type { Loop } from "../../bridge/loop.ts";
import { LoopControl } from "../../info/loopcontrol.ts";
import type { TwinsReport } from "./report.ts";

export class TwinsControl extends LoopControl {
  constructor(loop: Loop, report: () => TwinsReport, directory?: string) {
    const answer = ({ want }: { want?: string }) => {
      if (want !== "snapshot") throw new Error("unknown request");
      return report();
    };
    super(loop, "twins", answer, directory);
  }
}
