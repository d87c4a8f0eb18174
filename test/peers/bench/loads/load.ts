/** What a load worker repeats. */
export interface Load {
  /** One repetition; returns how many units (calls, entries, bytes) it did. */
  step(): number;
  /** Waits until what was done has reached its place; the time counts. */
  settle?(): void;
  /** Closes what the load holds open, so that the mount can go. */
  close(): void;
}

/** `root` is the tree under test; `thread` counts from 0. */
export interface LoadContext {
  readonly root: string;
  readonly thread: number;
}

export type LoadMaker = (context: LoadContext) => Load;
