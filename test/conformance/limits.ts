/**
 * What a kind of file system cannot do, whatever its daemon does.
 *
 * With `--limits fuse` such a case still runs, and must fail: one that passes
 * is reported as a limit that is no longer needed. So this list cannot hide a
 * case that would have passed.
 */
export interface Limit {
  /** The name of a case, or a glob over names. */
  readonly name: string;
  readonly reason: string;
}

export const limits: Record<string, readonly Limit[]> = {
  fuse: [
    {
      name: "fallocate/collapse-*",
      reason: "fuse_file_fallocate knows 0, KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE only",
    },
    {
      name: "fallocate/insert-*",
      reason: "fuse_file_fallocate knows 0, KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE only",
    },
  ],
};

/** The limit that covers a case. */
export function limitOf(name: string, list: readonly Limit[]): Limit | undefined {
  return list.find((limit) => new Bun.Glob(limit.name).match(name));
}
