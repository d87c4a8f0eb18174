/** The keeper's control socket, `/run/qtfs/control/rexec-keeper-PID.sock`: its programs, and signals for them. */
import type { Loop } from "../../bridge/loop.ts";
import { describeProcess } from "../../info/control.ts";
import type { Request } from "../../info/frames.ts";
import { LoopControl } from "../../info/loopcontrol.ts";
import { SIGRTMAX } from "../../sys/signals.ts";
import type { ProgramReport } from "./register.ts";
import type { Service } from "./service.ts";

/** What a keeper answers, beside what every process does. */
export interface KeeperSnapshot {
  /** Whether it has a server. */
  served: boolean;
  programs: ProgramReport[];
}

export class KeeperControl extends LoopControl {
  constructor(loop: Loop, service: Service, isServed: () => boolean) {
    super(loop, "rexec-keeper", (request) => {
      if (request.want === "signal") return signal(service, request);
      if (request.want !== "snapshot") throw new Error("unknown request");
      const snapshot: KeeperSnapshot = {
        served: isServed(),
        programs: service.register.reports(),
      };
      return { kind: "rexec-keeper", ...describeProcess("info"), ...snapshot };
    });
  }
}

/** Signals the process group of a program. */
function signal({ register }: Service, { pid, signal }: Partial<Request>): object {
  const isProper = Number.isInteger(pid) && Number.isInteger(signal);
  if (!isProper || (signal as number) < 1 || (signal as number) > SIGRTMAX) {
    throw new Error("no proper signal");
  }
  if (!register.signal(pid as number, signal as number)) {
    return { refused: `no program runs as ${pid}` };
  }
  return { signalled: pid as number };
}
