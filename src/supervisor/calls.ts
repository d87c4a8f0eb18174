/** The calls that a supervisor looks at, and who decides on each. */
import { type CallName, SYS } from "../sys/arch.ts";
import type { Exception } from "../sys/seccomp.ts";
import { SIGURG } from "../sys/signals.ts";
import { getAffinityCall, setAffinityCall } from "./affinity.ts";
import type { Decide } from "./call.ts";
import { killCall, tgkillCall, tkillCall } from "./kill.ts";
import { mountCall } from "./mount.ts";
import { bindCall, connectCall } from "./names.ts";
import {
  fsopenCall,
  fspickCall,
  mountSetattrCall,
  moveMountCall,
  openTreeCall,
} from "./newmounts.ts";
import { pidfdGetfdCall, pidfdOpenCall, pidfdSignalCall } from "./pidfds.ts";
import { setnsCall } from "./setns.ts";
import { fstatfsCall, statfsCall } from "./statfs.ts";
import { umountCall } from "./umount.ts";

const DECIDERS: Partial<Record<CallName, Decide>> = {
  mount: mountCall,
  umount2: umountCall,
  fsopen: fsopenCall,
  fspick: fspickCall,
  open_tree: openTreeCall,
  move_mount: moveMountCall,
  mount_setattr: mountSetattrCall,
  statfs: statfsCall,
  fstatfs: fstatfsCall,
  kill: killCall,
  tkill: tkillCall,
  tgkill: tgkillCall,
  pidfd_open: pidfdOpenCall,
  pidfd_send_signal: pidfdSignalCall,
  pidfd_getfd: pidfdGetfdCall,
  setns: setnsCall,
  sched_setaffinity: setAffinityCall,
  sched_getaffinity: getAffinityCall,
  connect: connectCall,
  bind: bindCall,
};

/** Those that are not looked at unless abstract names are the HOST's: programs make them all the time. */
const OF_NAMES: readonly CallName[] = ["connect", "bind"];

/** Names of the calls, in the order that they are counted in. */
export const CALL_NAMES = Object.keys(DECIDERS) as CallName[];

/** Their numbers. */
export const CALL_NUMBERS: readonly number[] = CALL_NAMES.map((name) => SYS[name]);

/** Numbers of those that a filter is made of. */
export function filtered(withNames: boolean): number[] {
  const chosen = CALL_NAMES.filter((name) => withNames || !OF_NAMES.includes(name));
  return chosen.map((name) => SYS[name]);
}

/** Go's runtime interrupts its own threads by this, thousands of times a second. */
export const EXCEPTION: Exception = { nr: SYS.tgkill, argument: 2, value: SIGURG };

/** Who decides on the call of that number. */
export function deciderOf(nr: number): Decide | undefined {
  const name = CALL_NAMES[CALL_NUMBERS.indexOf(nr)];
  return name === undefined ? undefined : DECIDERS[name];
}
