/** containerd and ctr in one guest, shims and containers in another: two kernels. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { IMAGE, ROOT } from "../stage.ts";
import { BOUND_MS, GuestStage } from "./stage.ts";

let stage: GuestStage;
beforeAll(async () => {
  stage = await GuestStage.begin("containerd");
}, BOUND_MS);
afterAll(() => stage?.end(), BOUND_MS);

const ctr = (words: string) => stage.dpu(`chroot ${ROOT} ctr ${words}`);

test(
  "run, exec, kill and rm: its process is one of the HOST's kernel",
  async () => {
    await stage.up();
    const [host, dpu] = await stage.boots();
    expect(host).not.toBe(dpu);
    // Where a path in the root directory of the daemons is one of the DPU's.
    await stage.dpu(`cp ${stage.image} /run/image.tar`);
    await ctr("images import /run/image.tar");
    await ctr(`run -d ${IMAGE} one sh -c 'trap "exit 3" TERM; while :; do sleep 0.3; done'`);
    const pid = Number(/^one +(\d+) +RUNNING/m.exec(await ctr("task ls"))?.[1]);
    expect(await stage.host(`tr '\\0' ' ' </proc/${pid}/cmdline`)).toContain("sh -c trap");
    expect(await stage.host(`cat /proc/${pid}/cgroup`)).toBe("0::/default/one\n");
    expect(await stage.dpu("ps -eo args=")).not.toContain("while :; do sleep 0.3");
    expect(await stage.dpu("ps -eo comm=")).not.toContain("containerd-shim");
    const boot = "sh -c 'cat /proc/sys/kernel/random/boot_id; sleep 1'";
    expect(await ctr(`task exec --exec-id e one ${boot}`)).toBe(host);
    await ctr("task kill -s TERM one");
    await stage.dpu(`until chroot ${ROOT} ctr task ls | grep STOPPED; do sleep 0.3; done`);
    await ctr("task rm one || [ $? = 3 ]");
    await ctr("container rm one");
    expect(await ctr("container ls -q")).toBe("");
  },
  BOUND_MS,
);

test(
  "down leaves nothing, though a container still runs",
  async () => {
    await ctr(`run -d ${IMAGE} two sleep 1000`);
    expect(await stage.down()).toBe("");
  },
  BOUND_MS,
);
