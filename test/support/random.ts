/** Random numbers that a seed repeats, for tests that print their seed. */

export interface Random {
  /** An integer of 32 bits. */
  next(): number;
  /** A number in [0, 1). */
  unit(): number;
  /** An integer in [0, limit). */
  below(limit: number): number;
  chance(probability: number): boolean;
  bytes(length: number): Uint8Array;
  pick<T>(from: readonly T[]): T;
}

/** Marsaglia's xorshift with 32 bits of state. */
export function random(seed: number): Random {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  const unit = () => next() / 0x1_0000_0000;
  const below = (limit: number) => Math.floor(unit() * limit);
  return {
    next,
    unit,
    below,
    chance: (probability) => unit() < probability,
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
    pick: (from) => from[below(from.length)] as never,
  };
}

/** The seed of a test: QTFS_SEED to repeat a run, or a new one, which is printed. */
export function seedFor(what: string): number {
  const seed = Number(process.env.QTFS_SEED ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  console.log(`${what}: QTFS_SEED=${seed}`);
  return seed;
}
