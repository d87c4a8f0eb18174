/** What a name means to a ghost operation: see ghosts.ts. */
import { Happening } from "../../wire/constants.ts";
import { GHOST_HIGH } from "./ghostattributes.ts";
import type { Happened } from "./ghostchannel.ts";

/** Happenings that are repeated by changing names. */
const NAMES =
  Happening.CREATE |
  Happening.DELETE |
  Happening.DELETE_SELF |
  Happening.MOVE |
  Happening.MOVE_SELF;

/** Whether the happening is repeated by changing a name. */
export function changesNames({ kinds }: Happened): boolean {
  return (kinds & NAMES) !== 0;
}

/** Whether what is moved comes from elsewhere (`high`), as something that nobody knows. */
export function isNew({ kinds, toLow }: Happened, high: number): boolean {
  return (kinds & Happening.MOVE) !== 0 && toLow !== 0 && high === GHOST_HIGH;
}

/** Whether the name is one that the operation makes. */
export function isAbsent(happened: Happened, high: number, low: number, name: string): boolean {
  const { kinds, toHigh, toLow, toName } = happened;
  if ((kinds & Happening.CREATE) !== 0) return true;
  if ((kinds & (Happening.MOVE | Happening.MOVE_SELF)) === 0) return false;
  // Elsewhere is where it comes from if it was moved to a directory that is watched.
  if (high === GHOST_HIGH) return toLow === 0;
  return high === toHigh && low === toLow && name === toName;
}
