/** containerd and ctr on the DPU, shims and containers on the HOST, by `qtfs offload`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../support/program.ts";
import { QTFS } from "../support/server.ts";
import { IMAGE, ROOT, Stage } from "./stage.ts";

const MINUTE = 60_000;
let stage: Stage;
/** Sums of what is on the machines before `up`: mounts, and what is below the directories of state. */
const before: string[] = [];

/** What must be after `down` as it was before `up`: all but qtfs's own empty directories, and a namespace's group. */
const REMAINS = `grep -v ' /sys' /proc/self/mounts
  ps -eo comm= | grep -E 'qtfs|containerd|shim|sleep' || true
  find /srv /run /sys/fs/cgroup/ ! '(' -path '/run/qtfs*' -type d ')' ! -type f ! -name default
  find /run -type f`;

async function remains(): Promise<string[]> {
  return await Promise.all([stage.host, stage.dpu].map((one) => one.sh(REMAINS)));
}

beforeAll(async () => {
  stage = await Stage.begin(['profile = "containerd"']);
  before.push(...(await remains()));
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

const ctr = (words: string) => stage.inside(`ctr ${words}`);

test(
  "plan says what up would do, and status that nothing stands",
  async () => {
    const plan = await stage.dpu.sh(`${QTFS} offload plan --config ${stage.config}`);
    expect(plan).toContain(`mount -o server=tcp://10.77.0.1:7000,insecure /run/containerd ${ROOT}`);
    expect(plan).toContain("chroot");
    const status = await stage.dpu.run([QTFS, "offload", "status", "--config", stage.config]);
    expect(status.code).toBe(1);
    expect(status.stdout).not.toContain("stands  service");
  },
  MINUTE,
);

test(
  "up brings containerd up, and again changes nothing",
  async () => {
    await stage.offload("up");
    expect(await ctr("version")).toContain("Server:");
    const again = await stage.dpu.run([QTFS, "offload", "up", "--config", stage.config]);
    expect([again.code, again.stderr.replace(/^stands .*\n/gm, "")]).toEqual([0, ""]);
    const status = await stage.dpu.sh(`${QTFS} offload status --config ${stage.config}`);
    expect(status).not.toContain("missing");
  },
  MINUTE,
);

test(
  "a container runs on the HOST",
  async () => {
    await ctr(`images import ${stage.image}`);
    expect(await ctr(`run --rm ${IMAGE} one sh -c 'hostname; sleep 1'`)).toBe("host\n");
    const failed = await stage.dpu.run([
      "chroot",
      ROOT,
      "ctr",
      "run",
      "--rm",
      IMAGE,
      "two",
      "sh",
      "-c",
      "exit 7",
    ]);
    expect(failed.code).toBe(7);
  },
  MINUTE,
);

test(
  "run -d, exec, pause, kill and rm; its process is the HOST's and not the DPU's",
  async () => {
    const listening = stage.dpu.spawn(["chroot", ROOT, "ctr", "events"]);
    await ctr(`run -d ${IMAGE} three sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'`);
    const pid = Number(/^three +(\d+) +RUNNING/m.exec(await ctr("task ls"))?.[1]);
    expect(await stage.host.sh(`tr '\\0' ' ' </proc/${pid}/cmdline`)).toContain("sh -c trap");
    expect(await stage.dpu.sh("ps -eo args=")).not.toContain("sh -c trap");
    expect(await stage.dpu.sh("ps -eo comm=")).not.toContain("containerd-shim");

    const exec = "task exec --exec-id e three sh -c 'echo from within; sleep 1'";
    expect(await ctr(exec)).toBe("from within\n");
    const sum = "head -c 3000000 /dev/zero | sha1sum";
    expect(await stage.inside(`${sum.replace("|", `| ctr task exec --exec-id s three`)}`)).toBe(
      await stage.host.sh(sum),
    );
    await ctr("task pause three");
    expect(await ctr("task ls")).toContain("PAUSED");
    await ctr("task resume three");
    expect(await ctr("task ps three")).toContain(`${pid}`);

    await ctr("task kill -s TERM three");
    await listening.prints('/tasks/exit {"container_id":"three","id":"three"');
    await until(
      async () => (await ctr("task ls")).includes("STOPPED"),
      () => "the end of the container",
    );
    await ctr("task rm three || [ $? = 3 ]");
    await ctr("container rm three");
    expect(await ctr("container ls -q")).toBe("");
    await listening.stop();
  },
  MINUTE,
);

test(
  "a terminal, whose size is the client's",
  async () => {
    // ctr tells the size only once the program runs.
    const inside = "tty; until stty size | grep 99; do sleep 0.05; done 2>/dev/null; sleep 1";
    const script = `stty rows 33 cols 99; ctr run --rm -t ${IMAGE} four sh -c '${inside}'`;
    const seen = await stage.inside(`script -qec '${script.replaceAll("'", "'\\''")}' /dev/null`);
    // script(1) has an end of file for its own terminal in between.
    expect(seen.replaceAll(/[\r\0]|\^@/g, "")).toContain("/dev/pts/0\n33 99\n");
  },
  MINUTE,
);

test(
  "down leaves nothing, though a container still runs",
  async () => {
    await ctr(`run -d ${IMAGE} five sleep 1000`);
    await stage.offload("down");
    expect(await remains()).toEqual(before);
  },
  MINUTE,
);
