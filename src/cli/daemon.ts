/** What the processes of `qtfs server` and `qtfs mount` have in common. */
import { type Control, type Daemon, serveControl } from "../info/control.ts";
import { notify } from "../sys/notify.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
export type StopSignal = (typeof SIGNALS)[number];

/**
 * Tells systemd (Type=notify) `READY=1` or `STOPPING=1`, if it wants to know, and
 * gives it `fds`. The bytes told, or -errno; 0 where nobody wants to know.
 */
export function tellServiceManager(state: string, fds: readonly number[] = []): number {
  const address = process.env.NOTIFY_SOCKET;
  return address === undefined || address === "" ? 0 : notify(address, state, fds);
}

/**
 * Calls `stop` at the first signal that asks the process to end; a second
 * signal ends it there and then.
 */
export function onStopSignal(stop: (signal: StopSignal) => void): void {
  let asked = false;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (asked) process.exit(1);
      asked = true;
      stop(signal);
    });
  }
}

/**
 * Serves `qtfs info`; a daemon without it still does its work, so what stands
 * in the way (a user who is not root) is only a warning.
 */
export function serveInfo(daemon: Daemon): Control | undefined {
  try {
    return serveControl(daemon);
  } catch (error) {
    daemon.log.write("warn", `qtfs info will not see this process: ${(error as Error).message}`);
    return undefined;
  }
}
