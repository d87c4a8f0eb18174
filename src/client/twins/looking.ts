/**
 * Whether a caller that looks a socket up only wants to know of its file, as ls(1) does: then
 * nobody need listen there for it. Calls that are not here may connect, or lead to it (O_PATH).
 */
import { ARCH, SYS } from "../../sys/arch.ts";
import { callText } from "./fifo/opencall.ts";

/** Calls that x86-64 alone has: stat, lstat, access, rename, unlink, readlink, chmod, chown, lchown. */
const X64_ALONE = [4, 6, 21, 82, 87, 89, 90, 92, 94];
const LOOKS: ReadonlySet<number> = new Set([
  SYS.statx,
  SYS.newfstatat,
  SYS.faccessat,
  SYS.faccessat2,
  SYS.readlinkat,
  SYS.getxattr,
  SYS.lgetxattr,
  SYS.listxattr,
  SYS.llistxattr,
  SYS.fchmodat,
  SYS.fchmodat2,
  SYS.fchownat,
  SYS.utimensat,
  SYS.renameat2,
  SYS.unlinkat,
  ...(ARCH === "x64" ? X64_ALONE : []),
]);

/** Whether the thread `tid`, which waits for the mount, does no more than look. */
export function onlyLooks(tid: number): boolean {
  const [call = ""] = callText(tid).split(" ");
  return call !== "" && LOOKS.has(Number(call));
}
