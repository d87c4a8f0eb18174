import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { readOffloadConfig } from "../../src/config/offload.ts";

const directory = mkdtempSync(`${tmpdir()}/offload-config-`);
const NETWORKS = '[networks]\nhost = "10.0.0.1"\ndpu = "10.0.0.2"';
afterAll(() => rmSync(directory, { recursive: true }));

function read(text: string) {
  const path = `${directory}/offload.toml`;
  writeFileSync(path, text);
  return readOffloadConfig(path);
}

describe("readOffloadConfig", () => {
  test("needs a profile and nothing else", () => {
    expect(read('profile = "containerd"')).toEqual({
      profile: "containerd",
      name: "containerd",
      server: { kind: "unix", path: "/run/qtfs/server.sock" },
      rexec: { kind: "unix", path: "/run/qtfs/rexec.sock" },
      insecure: false,
      rootfs: "/another_rootfs",
      binds: [],
      shares: [],
      routes: [],
      abstract: [],
      services: [],
    });
  });

  test("takes / for no root directory, and none with a slash at its end", () => {
    expect(read('profile = "docker"\nrootfs = "/"').rootfs).toBe("");
    expect(read('profile = "docker"\nrootfs = "/root/fs//"').rootfs).toBe("/root/fs");
  });

  test("takes services", () => {
    const service =
      '[[service]]\nname = "a"\ncommand = ["b", "c"]\nenv = { D = "e" }\nready = "/f"';
    expect(read(`profile = "docker"\n${service}`).services).toEqual([
      { name: "a", command: ["b", "c"], env: { D: "e" }, ready: "/f" },
    ]);
  });

  const refused: [what: string, text: string, sentence: RegExp][] = [
    ["an unknown profile", 'profile = "podman"', /line 1: profile: /],
    [
      "an unknown key",
      'profile = "docker"\nshare = []',
      /unknown key "share", did you mean shares/,
    ],
    ["a path that is not absolute", 'profile = "docker"\nshares = ["data"]', /absolute/],
    ["a path with ..", 'profile = "docker"\nshares = ["/a/../b"]', /must not have/],
    [
      "a service without a command",
      'profile = "docker"\n[[service]]\nname = "a"',
      /has no command/,
    ],
    ["a name that is a path", 'profile = "docker"\nname = "../x"', /name: /],
    ["tcp without insecure", 'profile = "docker"\nserver = "tcp://a:1"', /insecure = true/],
    [
      "tcp back without insecure",
      'profile = "docker"\nrexec_back = "tcp://a:1"',
      /insecure = true/,
    ],
    ["networks that no hook is told of", `profile = "docker"\n${NETWORKS}`, /need rexec_back/],
    [
      "networks of another profile",
      `profile = "containerd"\nrexec_back = "unix:///r"\n${NETWORKS}`,
      /profile docker/,
    ],
    [
      "networks by name",
      'profile = "docker"\n[networks]\nhost = "host"\ndpu = "10.0.0.2"',
      /networks: host and dpu must be IP addresses/,
    ],
    ["kubelet in the DPU's own root", 'profile = "kubelet"\nrootfs = "/"', /name a rootfs/],
  ];
  test.each(refused)("refuses %s", (_what, text, sentence) => {
    expect(() => read(text)).toThrow(sentence);
  });
});
