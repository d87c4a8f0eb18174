/** Keeps one descriptor in a table of its own and writes to it which of some others are open here. */
import { writeSync } from "node:fs";
import { F_GETFD, fcntlInt } from "../../src/sys/open.ts";
import { keepOnlyFd } from "../../src/sys/process.ts";

declare const self: { onmessage: (event: { data: { keep: number; others: number[] } }) => void };

self.onmessage = ({ data: { keep, others } }) => {
  const result = keepOnlyFd(keep);
  const open = others.filter((fd) => fcntlInt(fd, F_GETFD) >= 0);
  writeSync(keep, `${JSON.stringify({ result, open })}\n`);
};
