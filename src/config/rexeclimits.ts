/** Limits of programs as people write them: `nofile = 1024`, `as = "2G"`, `core = "0:unlimited"`. */
import { type Limit, limitName, RLIMIT_COUNT, UNLIMITED } from "../sys/limits.ts";

/** Numbers of resources by name. */
export const LIMIT_NAMES: ReadonlyMap<string, number> = new Map(
  Array.from({ length: RLIMIT_COUNT }, (_, resource) => [limitName(resource), resource]),
);

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/** Both limits, or what is wrong with them. */
export function readLimit(value: string | number): Limit | string {
  const parts = `${value}`.split(":");
  const [soft, hard = soft] = parts.map(readOne);
  if (parts.length > 2 || soft === undefined || hard === undefined) {
    return 'it must be a number like 1024 or "2G", "unlimited", or "SOFT:HARD"';
  }
  if (hard !== UNLIMITED && (soft === UNLIMITED || soft > hard)) {
    return "the soft limit is above the hard one";
  }
  return [soft, hard];
}

function readOne(text: string): number | undefined {
  if (text === "unlimited") return UNLIMITED;
  const [, digits, unit = ""] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  const number = Number(digits) * (UNITS[unit] ?? Number.NaN);
  return Number.isSafeInteger(number) ? number : undefined;
}
