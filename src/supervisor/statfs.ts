/**
 * statfs(2) and fstatfs(2) under a supervisor: of what is the HOST's, the HOST's own answer.
 * The kernel says of all that is mounted by FUSE that it is FUSE, by which programs decide
 * (whether an overlay is mounted, which version of cgroups there is).
 */
import { allocate } from "../sys/memory.ts";
import { AT_FDCWD, close } from "../sys/open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../sys/stat.ts";
import { type Call, GO_ON, type Verdict } from "./call.ts";

/** In the order of PLACE_STATFS's answer. */
const FIELDS = [
  ...[STATFS.blocks, STATFS.bfree, STATFS.bavail, STATFS.files, STATFS.ffree, STATFS.fsid],
  ...[STATFS.bsize, STATFS.namelen, STATFS.frsize, STATFS.type],
];
const figures = allocate(STATFS_STRUCT_SIZE);

export async function statfsCall(call: Call): Promise<Verdict> {
  const path = call.caller.text(call.args.address(0));
  if (typeof path === "number" || path === "") return GO_ON;
  return await answered(call, call.caller.open(AT_FDCWD, path));
}

export async function fstatfsCall(call: Call): Promise<Verdict> {
  return await answered(call, call.caller.descriptor(call.args.arg32(0)));
}

/** Answers for what the O_PATH descriptor `fd`, closed here, stands for. */
async function answered(call: Call, fd: number): Promise<Verdict> {
  if (fd < 0) return GO_ON;
  try {
    if (call.caller.isPrivate) return GO_ON;
    const found = await call.shares.find(fd);
    if (found === undefined || fstatfs(fd, figures.address) !== 0) return GO_ON;
    const { mount, path } = found.place;
    const said = call.sessions.ask(mount, (calls) => calls.statfs(path));
    // What has no name any more has no place on the HOST either: the mount itself knows it.
    if (typeof said === "number") return GO_ON;
    // Flags stay this machine's: they are the mount's.
    for (const [i, at] of FIELDS.entries()) {
      figures.view.setUint32(at + 4, said[2 * i] as number, true);
      figures.view.setUint32(at, said[2 * i + 1] as number, true);
    }
    if (!call.args.isValid()) return GO_ON;
    return call.caller.put(call.args.address(1), figures.address, STATFS_STRUCT_SIZE);
  } finally {
    close(fd);
  }
}
