import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseMountinfo } from "../../src/info/mountinfo.ts";
import { directory, link, script } from "../../src/offload/steps/directory.ts";
import { mountAt, route, share } from "../../src/offload/steps/mounts.ts";

const base = mkdtempSync(`${tmpdir()}/offload-steps-`);
afterAll(() => rmSync(base, { recursive: true }));

describe("places that symbolic links lead to are refused", () => {
  mkdirSync(`${base}/real`);
  writeFileSync(`${base}/real/program`, "");
  symlinkSync(`${base}/real`, `${base}/linked`);

  test("by a share", async () => {
    const step = share("/nonexistent/qtfs", "/a", `${base}/linked`, "rw");
    expect(await step.isDone()).toBe(false);
    await expect(step.run()).rejects.toThrow(`is ${base}/real by a symbolic link`);
  });

  test("by a route", async () => {
    const step = route("/nonexistent/qtfs", `${base}/linked/program`);
    await expect(step.run()).rejects.toThrow(`is ${base}/real/program by a symbolic link`);
  });
});

test("a mount that lies below another is none", () => {
  const lines = [
    "20 1 8:1 / / rw - ext4 /dev/a rw",
    "21 20 0:4 / /run/a rw - tmpfs below rw",
    "22 20 0:5 / /run rw - tmpfs run rw",
    "23 22 0:6 / /run/b rw - tmpfs first rw",
    "24 23 0:7 / /run/b rw - tmpfs second rw",
    "25 20 0:8 / /runner rw - tmpfs runner rw",
  ];
  const at = (path: string) => mountAt(path, parseMountinfo(lines.join("\n")))?.source;
  expect(["/", "/run", "/run/b", "/runner"].map(at)).toEqual(["/dev/a", "run", "second", "runner"]);
  expect(["/run/a", "/run/b/c", "/ru"].map(at)).toEqual([undefined, undefined, undefined]);
});

test("a route needs the program that it replaces", async () => {
  await expect(route("/qtfs", `${base}/none`).run()).rejects.toThrow("install its package");
});

describe("directory", () => {
  test("removes what it has made, and nothing that has come into it", async () => {
    const step = directory(`${base}/a/b/c`);
    const note = await step.run();
    expect(await step.isDone()).toBe(true);
    writeFileSync(`${base}/a/kept`, "");
    await step.undo(note);
    expect(await directory(`${base}/a/b`).isDone()).toBe(false);
    expect(await directory(`${base}/a`).isDone()).toBe(true);
  });

  test("removes a volatile one with all in it", async () => {
    const step = directory(`${base}/v/w`, { volatile: true });
    const note = await step.run();
    writeFileSync(`${base}/v/w/file`, "");
    await step.undo(note);
    expect(await directory(`${base}/v`).isDone()).toBe(false);
  });

  test("leaves one that was there", async () => {
    mkdirSync(`${base}/there`);
    await directory(`${base}/there`, { volatile: true }).undo(undefined);
    expect(await directory(`${base}/there`).isDone()).toBe(true);
  });
});

test("links and scripts come and go", async () => {
  for (const step of [link(`${base}/l`, "/nowhere"), script(`${base}/s`, "#!/bin/sh\n")]) {
    expect(await step.isDone()).toBe(false);
    const note = await step.run();
    expect(await step.isDone()).toBe(true);
    await step.undo(note);
    expect(await step.isDone()).toBe(false);
  }
});
