/** What tells whether a path leads to the same file on two machines: on one of them through a mount. */
import { fstatSync } from "node:fs";
import { IDENTITY_BYTES } from "./order.ts";

/** The identity (order.ts) of the regular file `fd`, also one of O_PATH; undefined of anything else. */
export function identify(fd: number): Buffer | undefined {
  const stats = fstatSync(fd, { bigint: true });
  if (!stats.isFile()) return undefined;
  const identity = Buffer.alloc(IDENTITY_BYTES);
  identity.writeBigUInt64LE(BigInt.asUintN(64, stats.ino));
  identity.writeBigUInt64LE(BigInt.asUintN(64, stats.mtimeNs), 8);
  return identity;
}
