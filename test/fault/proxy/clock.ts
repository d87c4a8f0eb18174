/** One clock for all processes of a round. */

/** Milliseconds of the wall clock, with fractions: what one process notes another can compare. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
