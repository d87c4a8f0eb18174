/** Descriptors that a case opened in this process, so that none outlives it. */
import { i32, libc } from "../../../src/sys/libc.ts";
import { must } from "./failure.ts";

const c = libc({ close: { args: [i32], returns: i32 } });
const open = new Set<number>();

/** Notes a descriptor that a call returned. */
export function opened(fd: number): number {
  open.add(fd);
  return fd;
}

export function close(fd: number): void {
  open.delete(fd);
  must("close", [fd], c.close(fd));
}

/** Takes a descriptor off the list: it stays for the life of the process. */
export function keep(fd: number): number {
  open.delete(fd);
  return fd;
}

/** Closes what the last case left; the reason of a refusal is of no interest here. */
export function closeLeftOpen(): void {
  for (const fd of open) c.close(fd);
  open.clear();
}
