/** Every call, as one flat name space: what a case calls and what an actor can be asked. */
export * from "./acl.ts";
export type { Path } from "./arena.ts";
export * from "./attributes.ts";
export * from "./constants.ts";
export * from "./directory.ts";
export * from "./handle.ts";
export * from "./io.ts";
export * from "./lock.ts";
export * from "./map.ts";
export * from "./notify.ts";
export * from "./open.ts";
export * from "./process.ts";
export * from "./socket.ts";
export * from "./stat.ts";
export * from "./transfer.ts";
export * from "./tree.ts";
export * from "./xattr.ts";
