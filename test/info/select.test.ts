import { expect, test } from "bun:test";
import { parseMountinfo } from "../../src/info/mountinfo.ts";
import type { DaemonReport } from "../../src/info/report.ts";
import { select, Unanswered } from "../../src/info/select.ts";
import { mountReport, serverReport } from "./samples.ts";

const LINES = parseMountinfo(`22 1 0:20 / / rw - ext4 /dev/vda rw
40 22 0:50 / /mnt rw - fuse.qtfs /srv rw
41 22 0:51 / /other rw - fuse.qtfs /srv rw`);
const server = serverReport();
const mount = mountReport();
const far = mountReport({ pid: 44, target: "/far", server: "tcp://10.0.0.1:7000" });
const all = [server, mount, far];
const chosen = (which: string, reports: DaemonReport[] = all) =>
  select(reports, which, LINES).map(({ pid }) => pid);

test("a number is a process", () => {
  expect(chosen("42")).toEqual([42]);
  expect(() => chosen("1")).toThrow(
    "Process 1 is no qtfs server, mount, rexec-server or supervisor",
  );
});

test("an address is the server there, or else the mounts that use it", () => {
  expect(chosen("unix:///run/qtfs/server.sock")).toEqual([42]);
  expect(chosen("tcp://10.0.0.1:7000")).toEqual([44]);
  expect(() => chosen("tcp://10.0.0.1:7001")).toThrow("has to do with tcp://10.0.0.1:7001");
});

test("a path is the mount that it is in", () => {
  expect(chosen("/mnt")).toEqual([43]);
  expect(chosen("/mnt/")).toEqual([43]);
  expect(chosen("/mnt/a/../b")).toEqual([43]);
  expect(() => chosen("/etc")).toThrow("/etc is not on a qtfs mount");
});

test("a mount in another mount namespace is found by its target", () => {
  expect(chosen("/far")).toEqual([44]);
});

test("a mount whose process is gone is told from one whose process is stuck", () => {
  expect(() => chosen("/other")).toThrow('lost its process: "umount -l /other" removes it');
  const stuck: DaemonReport = { kind: "mount", pid: 50, error: "it has not answered" };
  const choosing = () => chosen("/other", [...all, stuck]);
  expect(choosing).toThrow("one does not answer at all");
  expect(choosing).toThrow(new Unanswered("/other"));
});
