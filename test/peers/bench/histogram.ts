/** Latencies in logarithmic buckets, 32 to a power of two (3 % apart). */
const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
export const BUCKETS = 32 * SUB;

/** The bucket of a latency; at most 2^31 ns. */
export function bucketOf(ns: number): number {
  const value = ns < 0x7fffffff ? ns | 0 : 0x7fffffff;
  if (value < SUB) return Math.max(value, 0);
  const shift = 31 - Math.clz32(value) - SUB_BITS;
  return (shift + 1) * SUB + ((value >>> shift) - SUB);
}

/** The middle of a bucket, in ns. */
function middleOf(bucket: number): number {
  if (bucket < SUB) return bucket;
  const shift = Math.floor(bucket / SUB) - 1;
  return ((bucket % SUB) + SUB + 0.5) * 2 ** shift;
}

/** The latency in ns that `fraction` of the samples stay below; 0 without samples. */
export function percentile(counts: Uint32Array, fraction: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let rest = total * fraction;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    rest -= counts[bucket] ?? 0;
    if (rest <= 0 && total > 0) return middleOf(bucket);
  }
  return 0;
}
