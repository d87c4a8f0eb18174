/** What a reactor offers to the sessions it serves. */
import type { Counters } from "../info/counters.ts";
import type { Facts } from "../wire/hello.ts";
import type { Calls } from "./calls.ts";
import type { Export } from "./exports.ts";
import type { Polls } from "./polls.ts";

export interface ReactorServices {
  readonly counters: Counters;
  readonly calls: Calls;
  readonly polls: Polls;
  readonly exports: readonly Export[];
  readonly facts: Facts;
}
