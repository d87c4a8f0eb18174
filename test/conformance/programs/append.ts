/** Appending and reading back records that carry their writer's mark. */

import { pattern } from "../harness/pattern.ts";
import { O_APPEND, O_CREAT, O_WRONLY } from "../posix/constants.ts";
import { write } from "../posix/io.ts";
import { close, open } from "../posix/open.ts";

export const RECORD_BYTES = 32;

/** The text of record `index` of `writer`: RECORD_BYTES long, newline at its end. */
export function record(writer: string, index: number): string {
  return `${`${writer} ${index}`.padEnd(RECORD_BYTES - 1, ".")}\n`;
}

/** Appends `count` records with one write(2) each. */
export function appendRecords(path: string, writer: string, count: number): number {
  const fd = open(path, O_WRONLY | O_APPEND | O_CREAT);
  for (let index = 0; index < count; index++) write(fd, record(writer, index));
  close(fd);
  return count;
}

/** Writes a pattern of `size` bytes, in as many calls as it takes, and returns how many. */
export function writePattern(fd: number, size: number): number {
  for (let sent = 0; sent < size; ) {
    sent += write(fd, pattern(Math.min(size - sent, 65_536), sent));
  }
  return size;
}
