/**
 * setns(2) under a supervisor. No process here can enter a namespace of another machine's kernel:
 * who tries by what stands for one here is told so, and people are. Where a namespace of the HOST's
 * is mounted on a share, one of this machine's is on it (netns.ts), and that is entered.
 */
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { type Call, GO_ON, type Verdict } from "./call.ts";
import { targetOfFd } from "./pidfds.ts";

/** setns(fd, type) */
export async function setnsCall(call: Call): Promise<Verdict> {
  const { args, caller, procfs } = call;
  const fd = caller.descriptor(args.arg32(0));
  if (fd < 0) return GO_ON;
  try {
    if (procfs.isNamespace(fd)) return GO_ON;
    const what = await describe(call, fd);
    if (what === undefined) return GO_ON;
    call.log("warn", `setns of ${caller.tid}: ${what} is the HOST's, and cannot be entered here`);
    return -E.EOPNOTSUPP;
  } finally {
    close(fd);
  }
}

/** What of the HOST's the caller has open, the O_PATH descriptor `fd` being the same; undefined: nothing. */
async function describe(call: Call, fd: number): Promise<string | undefined> {
  // The kernel would enter those of the process that stands for it.
  const target = targetOfFd(call, call.args.arg32(0));
  if (target !== undefined) return `process ${target.pid}`;
  const found = await call.shares.find(fd);
  if (found === undefined) return undefined;
  const { mount, path } = found.place;
  return `${mount.source}/${path}`.replace(/^\/\/+/, "/");
}
