/** Whether a mount has lost the processes that served it. */

/** ENOTCONN, as the C library says it. */
const NOT_CONNECTED = "Transport endpoint is not connected";
/** How long a mount may take to answer that has somebody. */
const LOOK_MS = 3000;

/**
 * Whether nobody serves, or will serve, the mount at `path`: the kernel then says so
 * at once. Another process looks, because it may have to wait for the answer.
 */
export async function hasLostProcess(path: string): Promise<boolean> {
  const look = Bun.spawn(["stat", "-f", "--", path], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, LC_ALL: "C" },
  });
  look.unref();
  if (!(await within(LOOK_MS, look.exited))) {
    look.kill("SIGKILL");
    return false;
  }
  return (await look.stderr.text()).includes(NOT_CONNECTED);
}

/** Whether it comes to be in time. */
export async function within(boundMs: number, event: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), boundMs);
  const isInTime = await Promise.race([event.then(() => true), late]);
  clearTimeout(timer);
  return isInTime;
}
