/**
 * umount2(2) under a supervisor. What the HOST has mounted on a share is unmounted there;
 * this machine's own mounts, also those on a share or of one, are the kernel's.
 */
import { mountedHere, seenHere } from "../onhost/seen.ts";
import { AT_FDCWD, close, O_NOFOLLOW } from "../sys/open.ts";
import { UmountFlag } from "../wire/constants.ts";
import { type Call, GO_ON, onHost, type Verdict } from "./call.ts";
import { CAP_SYS_ADMIN } from "./mount.ts";
import { OTHER, unbindNetns } from "./netns.ts";

export async function umountCall(call: Call): Promise<Verdict> {
  const { args, caller, shares } = call;
  if (caller.isPrivate || !caller.has(CAP_SYS_ADMIN)) return GO_ON;
  const target = caller.text(args.address(0));
  const flags = args.arg32(1);
  if (typeof target === "number" || (flags & ~UmountFlag.ALL) !== 0) return GO_ON;
  const fd = caller.open(AT_FDCWD, target, (flags & UmountFlag.NOFOLLOW) !== 0 ? O_NOFOLLOW : 0);
  if (fd < 0) return GO_ON;
  const found = await shares.find(fd);
  if (found === undefined) {
    const verdict = await unbindNetns(call, fd, flags);
    return verdict === OTHER ? GO_ON : verdict;
  }
  // What is open on a mount makes it busy.
  close(fd);
  if (found.isOurs) return GO_ON;
  if (!args.isValid()) return GO_ON;
  const at = found.place;
  const before = mountedHere(at);
  const result = onHost(call, at.mount, (calls) => calls.umount(at.path, flags));
  if (result === 0 && before !== "" && !seenHere(at, before)) {
    call.log("warn", `What was unmounted at ${target} on the HOST is seen here still`);
  }
  return result;
}
