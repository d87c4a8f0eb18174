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
  /** It depends on the scheduler: the case may pass as well. */
  readonly byChance?: boolean;
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
    {
      name: "concurrency/size-that-fstat-tells-can-be-read",
      reason:
        "fstat tells the size that GETATTR brought, but the inode keeps its own until the writer's " +
        "thread has run (FUSE_I_SIZE_UNSTABLE in fuse_change_attributes): a read in between is short",
      byChance: true,
    },
  ],
};

/** The limit that covers a case. */
export function limitOf(name: string, list: readonly Limit[]): Limit | undefined {
  return list.find((limit) => new Bun.Glob(limit.name).match(name));
}
