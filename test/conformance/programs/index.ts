/** Longer pieces of work that run in one process without asking back, for concurrency. */
export * from "./append.ts";
export * from "./files.ts";
export * from "./races.ts";
export * from "./shared.ts";
