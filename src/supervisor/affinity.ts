/** sched_setaffinity(2) and sched_getaffinity(2) of the HOST's processes. */
import { allocate } from "../sys/memory.ts";
import { AFFINITY_MAX } from "../wire/limits.ts";
import { type Call, GO_ON, type Verdict } from "./call.ts";
import { askOwner, isOurs } from "./numbers.ts";

const mask = allocate(AFFINITY_MAX);

/** sched_setaffinity(pid, length, mask) */
export async function setAffinityCall(call: Call): Promise<Verdict> {
  const { args, caller } = call;
  const pid = args.arg32(0) | 0;
  if (isOurs(call, pid)) return GO_ON;
  const length = Math.min(args.arg32(1), AFFINITY_MAX);
  const got = caller.get(args.address(2), mask.address, length);
  if (got < 0) return got;
  const wanted = mask.bytes.subarray(0, length);
  return await askOwner(call, (calls) => calls.setAffinity(pid, caller.uid, wanted));
}

/** sched_getaffinity(pid, length, mask): the bytes of the set. */
export async function getAffinityCall(call: Call): Promise<Verdict> {
  const { args, caller } = call;
  const pid = args.arg32(0) | 0;
  if (isOurs(call, pid)) return GO_ON;
  let length = 0;
  const verdict = await askOwner(call, (calls) => {
    const said = calls.getAffinity(pid, caller.uid);
    if (typeof said === "number") return said;
    length = Math.min(said.length, args.arg32(1));
    mask.bytes.set(said.subarray(0, length));
    return 0;
  });
  if (verdict !== 0) return verdict;
  const put = caller.put(args.address(2), mask.address, length);
  return put < 0 ? put : length;
}
