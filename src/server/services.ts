/** What a reactor offers to the sessions it serves. */
import type { Gate } from "../identity/gate.ts";
import type { Counters } from "../info/counters.ts";
import type { Facts } from "../wire/hello.ts";
import type { BridgeDoor } from "./bridge/door.ts";
import type { Calls } from "./calls.ts";
import type { Export } from "./exports.ts";
import type { MountTable } from "./mounts/mounttable.ts";
import type { PolicyRule } from "./policy.ts";
import type { Polls } from "./polls.ts";
import type { RecordStore } from "./record/store.ts";
import type { Watcher } from "./watcher.ts";

export interface ReactorServices {
  readonly counters: Counters;
  readonly calls: Calls;
  readonly polls: Polls;
  readonly watcher: Watcher;
  readonly mounts: MountTable;
  /** Says something to people, seldom. */
  readonly tell: (text: string) => void;
  readonly exports: readonly Export[];
  /** Who may come by certificates, where anybody may. */
  readonly gate?: Gate;
  /** How files are treated, as far as it is not built in. */
  readonly policies: readonly PolicyRule[];
  readonly facts: Facts;
  /** How long a session outlives its connection. */
  readonly leaseMs: number;
  /** Where the tables of sessions are. */
  readonly records: RecordStore;
  /** Where connections for streams go, and what they may be joined to. */
  readonly bridge: BridgeDoor;
}
