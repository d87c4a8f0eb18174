import { describe, expect, test } from "bun:test";
import { type OffloadConfig, PROFILES } from "../../src/config/offload.ts";
import { limitsOf, planOf } from "../../src/offload/plan.ts";
import { profiles } from "../../src/offload/profiles/profile.ts";
import { shellLine } from "../../src/offload/step.ts";

const CONFIG: OffloadConfig = {
  profile: "docker",
  name: "docker",
  server: { kind: "tcp", host: "10.0.0.1", port: 7000 },
  rexec: { kind: "tcp", host: "10.0.0.1", port: 7001 },
  insecure: true,
  rootfs: "/another_rootfs",
  binds: [],
  shares: ["/data"],
  routes: ["/usr/bin/tool"],
  abstract: [],
  services: [{ name: "dockerd", command: ["dockerd", "--debug"] }],
};

const commands = (side: "host" | "dpu", config = CONFIG) =>
  planOf(config, side, "/usr/local/bin/qtfs").flatMap((step) => step.commands);

describe("planOf", () => {
  test("exports on the HOST what the DPU mounts, and allows what it routes", () => {
    const host = commands("host").join("\n");
    const dpu = commands("dpu").join("\n");
    for (const path of ["/data", "/var/lib/docker", "/run/containerd"]) {
      expect(host).toContain(`--export ${path}:rw,sysmount`);
      expect(dpu).toContain(`insecure ${path} /another_rootfs${path}\n`);
    }
    expect(host).toContain("--allow /usr/bin/tool");
    expect(dpu).toContain("mount --bind /usr/local/bin/qtfs /another_rootfs/usr/bin/tool");
  });

  test("starts a configured service in place of the profile's", () => {
    const started = commands("dpu").filter((line) => line.startsWith("setsid"));
    expect(started).toHaveLength(2);
    expect(started[1]).toContain("supervise -- chroot /another_rootfs dockerd --debug </dev/null");
  });

  test("has supervisors and exports told of abstract names, if there are any", () => {
    const named = { ...CONFIG, abstract: ["@/shim/*", "other"] };
    expect(commands("host", named).join("\n")).toContain("--export /data:rw,sysmount,names");
    expect(commands("dpu", named).join("\n")).toContain("'--abstract=@/shim/*,other' --");
    const [host, dpu] = [commands("host"), commands("dpu")].map((lines) => lines.join("\n"));
    expect(host).not.toContain("names");
    expect(dpu).not.toContain("--abstract");
  });

  test("has dockerd make networks where they are stretched, and says what will not work", () => {
    const plain = { ...CONFIG, services: [] };
    const rexecBack = { kind: "tcp", host: "10.0.0.2", port: 7001 } as const;
    const networks = { host: "10.0.0.1", dpu: "10.0.0.2" };
    const stretched = { ...plain, rexecBack, networks };
    expect(commands("dpu", plain).join("\n")).toContain("--bridge=none");
    expect(limitsOf(plain).join("\n")).toContain("-p and networks");
    const dpu = commands("dpu", stretched).join("\n");
    expect(dpu).not.toContain("--bridge=none");
    expect(dpu).toContain('type vxlan id "$vni" local 10.0.0.2 remote 10.0.0.1');
    expect(dpu).toContain("--allow /run/qtfs/offload/docker.bin/stretch");
    const host = commands("host", stretched).join("\n");
    expect(host).toContain("local 10.0.0.1 remote 10.0.0.2");
    expect(limitsOf(stretched).join("\n")).not.toContain("-p and networks");
  });

  test("needs no root directory", () => {
    const lines = commands("dpu", { ...CONFIG, rootfs: "" }).join("\n");
    expect(lines).not.toContain("chroot");
    expect(lines).toContain("insecure /run/containerd /run/containerd\n");
  });

  test.each(PROFILES)("names each step of %s once", (profile) => {
    for (const side of ["host", "dpu"] as const) {
      const names = planOf({ ...CONFIG, profile }, side, "/qtfs").map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test("gives kubelet the HOST's /proc and /sys, and its own directory as a shared mount", () => {
    const kubelet = { ...CONFIG, profile: "kubelet" as const };
    expect(commands("host", kubelet).join("\n")).toContain("--export /proc:rw,sysmount,process");
    const dpu = commands("dpu", kubelet);
    const root = "/another_rootfs";
    expect(dpu).toContain("mount -t proc -o rw proc /another_rootfs/local_proc");
    expect(dpu).not.toContain("mount -t proc -o rw proc /another_rootfs/proc");
    expect(dpu.join("\n")).toMatch(/-o \S+,proc \/proc \/another_rootfs\/proc$/m);
    const own = dpu.indexOf(`mount --make-shared ${root}/var/lib/kubelet`);
    const pods = dpu.findIndex(
      (line) => line.endsWith(` ${root}/var/lib/kubelet/pods`) && line.includes(" mount -o "),
    );
    expect(own).toBeGreaterThan(0);
    expect(pods).toBeGreaterThan(own);
  });

  test("ends on the HOST what was mounted for containers, nothing else that is shared", () => {
    for (const profile of PROFILES) {
      const { trees } = profiles[profile].traces;
      expect(trees.filter((path) => /^\/(proc|sys|data|run\/netns)/.test(path))).toEqual([]);
    }
  });
});

test("shellLine quotes what a shell would not take as it is", () => {
  expect(shellLine(["a", "b c", "d'e", "", "$f"])).toBe("a 'b c' 'd'\\''e' '' '$f'");
});
