/** The process behind a mount. */
import type { MountDaemon } from "../client/daemon.ts";
import { RECORD_MAGIC } from "../client/record.ts";
import { BUILD } from "../info/facts.ts";
import type { Log } from "../info/log.ts";
import { mounts } from "../info/mountinfo.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";
import { onStopSignal, type StopSignal, serveInfo, tellServiceManager } from "./daemon.ts";

/** Who is told how it went. */
export interface Listener {
  /** The mount is usable; with what there is to warn of. */
  ready(warnings: string[]): void;
  /** It could not be mounted. */
  failed(error: unknown): void;
}

/** What is to be served: a mount still to be made, or one to be taken over. */
export interface Subject {
  source: string;
  target: string;
  start(): Promise<MountDaemon>;
  /** The arguments with which this program takes the mount over from a process that died. */
  successor: readonly string[];
  /** What there is to warn of once it is mounted, beside different releases. */
  warnings?: () => string[];
}

/**
 * Mounts, and serves until the mount is taken away or a signal asks it to; then
 * ends the process, as it does when it cannot mount. Never returns: threads
 * that are left would keep a process alive that has nothing to do.
 */
export async function serveMount(subject: Subject, log: Log, listener: Listener): Promise<never> {
  const { promise: asked, resolve: ask } = Promise.withResolvers<StopSignal>();
  const { source, target } = subject;
  let isReady = false;
  onStopSignal((signal) => {
    // Nothing to take away yet, and the server may be silent for long.
    if (!isReady && !isMounted(target)) process.exit(1);
    ask(signal);
  });
  process.umask(0);
  // Its working directory would keep another file system from being unmounted.
  process.chdir("/");
  const mount = await start(subject, listener);
  // Whoever ends the process in good order wants the mount to end; only a death is made good.
  process.on("exit", () => mount.letGo());
  const control = serveInfo({
    kind: "mount",
    log,
    snapshot: () => mount.snapshot(),
    handOver: (program, layout) => handOver(mount, subject, program, layout),
  });
  const warnings = [...versionWarnings(mount), ...(subject.warnings?.() ?? [])];
  for (const warning of warnings) log.write("warn", warning);
  log.write("info", `Mounted ${source} at ${target}`);
  tellServiceManager("READY=1");
  isReady = true;
  listener.ready(warnings);
  asked.then((signal) => {
    log.write("info", `Unmounting ${target}: ${signal}`);
    tellServiceManager("STOPPING=1");
    mount.unmount();
  });
  const failure = await mount.finished;
  control?.close();
  if (failure === undefined) log.write("info", `${target} is unmounted`);
  else log.write("error", failure);
  return process.exit(failure === undefined ? 0 : 1);
}

/** Lets `program`, perhaps of another release, take over; its pid. */
function handOver(
  mount: MountDaemon,
  subject: Subject,
  program: readonly string[],
  layout: number,
): number {
  if (layout !== RECORD_MAGIC) {
    throw new Error(
      `release ${BUILD} keeps its records in another way: umount ${subject.target} and mount anew`,
    );
  }
  return mount.handOver([...program, ...subject.successor]);
}

async function start(subject: Subject, listener: Listener): Promise<MountDaemon> {
  try {
    return await subject.start();
  } catch (error) {
    listener.failed(error);
    return process.exit(1);
  }
}

function isMounted(target: string): boolean {
  const last = mounts().findLast(({ mountpoint }) => mountpoint === target);
  return last?.type === FILE_SYSTEM_TYPE;
}

function versionWarnings(mount: MountDaemon): string[] {
  const { clientFacts, serverFacts } = mount.snapshot();
  if (clientFacts.build === serverFacts.build) return [];
  return [
    `The server runs qtfs ${serverFacts.build}, this machine ${clientFacts.build}: ` +
      "install the same release on both when you can",
  ];
}
