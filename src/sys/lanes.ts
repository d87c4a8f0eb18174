/**
 * Descriptors that are no sockets and behave like some: lanes of a link over PCIe
 * (sys/qtdma.ts). What waits for descriptors, or closes one, looks here first; in a
 * thread without such a lane that costs the look at a number.
 */

/** What a lane does where the kernel would do it for a socket. */
export interface Lane {
  /** What is waited for: POLL* or EPOLL* bits, which are the same for these two. */
  wants: number;
  /** Makes its descriptor readable if anything that is wanted is so, now or while the thread sleeps. */
  prepare(sleeps: boolean): void;
  outcome(): number;
  close(): number;
}

/** Those of this thread, by descriptor. */
export const lanes = new Map<number, Lane>();

/** POLLIN and POLLOUT, EPOLLIN and EPOLLOUT. */
const IN = 1;

/** Before this thread waits, or looks once (`timeoutMs` 0). */
export function prepareLanes(timeoutMs: number): void {
  for (const lane of lanes.values()) lane.prepare(timeoutMs !== 0);
}

/** What the kernel is to be asked for, where `events` of `fd` are waited for. */
export function eventsToAsk(fd: number, events: number): number {
  const lane = lanes.size === 0 ? undefined : lanes.get(fd);
  if (lane === undefined) return events;
  lane.wants = events;
  return events === 0 ? 0 : IN;
}

/** What `found` by the kernel means for who waits for `fd`. */
export function eventsFound(fd: number, found: number): number {
  const lane = lanes.size === 0 ? undefined : lanes.get(fd);
  return lane === undefined || found === 0 ? found : lane.wants | IN;
}
