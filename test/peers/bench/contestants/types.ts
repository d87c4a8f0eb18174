/** What the bench knows of a contestant. */

/**
 * Uncached mounts keep nothing; default ones are what a user gets at best; `proc` ones are
 * that too, of /proc in the place of the tree.
 */
export type Mode = "uncached" | "default" | "proc";
/** `sftp` is sshfs without ssh: a bare sftp-server, nothing encrypted, nobody authenticated. */
export type Family = "qtfs" | "bare" | "sshfs" | "sftp" | "floor";

/** Where one start of a contestant lives. All paths are absolute. */
export interface Place {
  readonly mode: Mode;
  /** The exported tree. */
  readonly tree: string;
  /** An empty directory to mount on. */
  readonly target: string;
  /** For keys, configurations and sockets; the same for every start of the contestant. */
  readonly files: string;
  /** A free TCP port of the loopback. */
  readonly port: number;
}

export interface ServerPlan {
  readonly command: string[];
  /** Accepts connections when the server is ready. */
  readonly listens: { readonly unix: string } | { readonly port: number };
}

export interface Contestant {
  readonly name: string;
  readonly family: Family;
  readonly note: string;
  /** Makes what all starts share, in Place.files; may be called again. */
  prepare?(files: string): Promise<void>;
  /** Commands in the foreground; a contestant without `mount` is its own tree. */
  server?(place: Place): ServerPlan;
  mount?(place: Place): string[];
  /** The tree lives in the mount's daemon, and is copied into the mount. */
  readonly holdsTree?: true;
  /** The modes in which it differs from its family; all when absent. */
  readonly modes?: Mode[];
}
