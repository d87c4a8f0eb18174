/** What a mount tells of itself. */
import type { OpFigures } from "../info/counters.ts";
import type { ThreadReport } from "../info/watchdog.ts";
import type { Facts } from "../wire/hello.ts";
import type { CacheMode } from "./client.ts";
import type { FileSystemFigures } from "./filesystems.ts";
import type { SubmountReport } from "./submounts/submounts.ts";

/** What `qtfs info` shows of a mount. */
export interface MountSnapshot {
  source: string;
  target: string;
  server: string;
  /** File of the identity that it shows. */
  identity: string | undefined;
  readOnly: boolean;
  cache: CacheMode;
  connected: boolean;
  /** The HOST's file systems that were met in the tree, and how their files are treated. */
  fileSystems: FileSystemFigures[];
  /** What became of the connection since the mount was made. */
  recovery: {
    losses: number;
    /** Times that the session went on with another process of the server. */
    serverRestarts: number;
    /** Times that the server did not know it any more. */
    sessionsLost: number;
    /** How long the last loss took to mend. */
    lastAwayMs: number;
    /** Times, of late, that a process took over from one that had died. */
    takeovers: number;
  };
  /** Process that takes over should this one die; the service manager may start one instead. */
  keeper: number | undefined;
  inStore: boolean;
  /** Process that serves the HOST's sockets and FIFOs here, once any was met: it says more itself. */
  twinsPid: number | undefined;
  /** Whether the HOST's mounts below the directory are to have superblocks of their own. */
  splits: boolean;
  /** Those that have. */
  submounts: SubmountReport[];
  threads: ThreadReport[];
  serverFacts: Facts;
  clientFacts: Facts;
  totals: Record<string, number>;
  operations: OpFigures[];
}
