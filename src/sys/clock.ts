/** Clocks that the runtime does not have. */
import { addr, i32, libc } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({
  clock_gettime: { args: [i32, addr], returns: i32 },
});

/** linux/time.h */
export const CLOCK_BOOTTIME = 7;

/** struct timespec on 64-bit machines: seconds and nanoseconds, i64 each. */
export const TIMESPEC = { sec: 0, nsec: 8 } as const;
export const TIMESPEC_STRUCT_SIZE = 16;

const time = allocate(TIMESPEC_STRUCT_SIZE);

/** Milliseconds since the machine has started, also while it was suspended: what /proc/PID/stat counts by. */
export function bootTimeMs(): number {
  c.clock_gettime(CLOCK_BOOTTIME, time.address);
  const { view } = time;
  return (
    Number(view.getBigInt64(TIMESPEC.sec, true)) * 1000 +
    Number(view.getBigInt64(TIMESPEC.nsec, true)) / 1e6
  );
}
