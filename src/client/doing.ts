/** What a mount's thread is at, for its heartbeat and for people. */
import { OPCODE_COUNT, Opcode } from "../fuse/protocol.ts";
import { At } from "../info/heartbeat.ts";

/** Plus an opcode: a request of the kernel, or the server's answer to one, is being dealt with. */
export const ASKING = At.OPERATION;
export const ANSWERING = ASKING + OPCODE_COUNT;

/** Names what is from At.OPERATION on. */
export function describeDoing(operation: number): string {
  const opcode = operation % OPCODE_COUNT;
  const name = Object.entries(Opcode).find(([, number]) => number === opcode)?.[0] ?? `${opcode}`;
  return `at ${operation < OPCODE_COUNT ? "a request" : "the answer"} ${name}`;
}
