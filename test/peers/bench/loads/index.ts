/** Every load by its name. */
import * as data from "./data.ts";
import type { LoadMaker } from "./load.ts";
import * as metadata from "./metadata.ts";

export const LOADS = { ...metadata, ...data } satisfies Record<string, LoadMaker>;
export type LoadName = keyof typeof LOADS;
