/** Identities of one thread: what they change, and that no other thread changes with it. */
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import {
  CAP_FSETID,
  dropFsetid,
  geteuid,
  raiseFsetid,
  setFsGid,
  setFsUid,
  setGroups,
} from "../../src/sys/identity.ts";
import { write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_CREAT, O_RDONLY, O_RDWR, openat } from "../../src/sys/open.ts";
import { gettid } from "../../src/sys/process.ts";
import { ok, outcome, scratch, textRegion } from "./support.ts";

const place = scratch();
chmodSync(place.directory, 0o777);

function status(tid: number | string, field: string): string {
  const text = readFileSync(`/proc/self/task/${tid}/status`, "latin1");
  return new RegExp(`^${field}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(text)?.[1] ?? "";
}

function ofOtherThreads(field: string): string[] {
  const own = `${gettid()}`;
  const others = readdirSync("/proc/self/task").filter((tid) => tid !== own);
  return [...new Set(others.flatMap((tid) => ifAlive(() => status(tid, field))))];
}

/** Threads of the runtime come and go: the files of one that has gone are ENOENT or ESRCH. */
function ifAlive(ask: () => string): string[] {
  try {
    return [ask()];
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ESRCH") return [];
    throw error;
  }
}

const groupsAtStart = status(gettid(), "Groups").split(" ").filter(Boolean).map(Number);
const list = allocate(4096);

function setGroupList(groups: readonly number[]): number {
  for (const [i, group] of groups.entries()) list.words[i] = group;
  return setGroups(list.address, groups.length);
}

afterEach(() => {
  setFsUid(0);
  setFsGid(0);
  setGroupList(groupsAtStart);
  raiseFsetid();
});

describe("file system ids", () => {
  test("setFsUid returns the one before, and this thread alone acts as that user", () => {
    const others = ofOtherThreads("Uid");
    const fd = place.file("secret");
    close(fd);
    chmodSync(place.path("secret"), 0o600);
    expect(setFsUid(4_000_000_000)).toBe(0);
    expect(outcome(openat(AT_FDCWD, place.at("secret"), O_RDONLY, 0))).toBe("EACCES");
    expect(status(gettid(), "Uid").split("\t")[3]).toBe("4000000000");
    expect(others.length).toBe(1);
    expect(ofOtherThreads("Uid")).toEqual(others);
    expect(geteuid()).toBe(0);
    expect(setFsUid(0)).toBe(4_000_000_000);
    close(ok(openat(AT_FDCWD, place.at("secret"), O_RDONLY, 0)));
  });

  test("a file is made with them", () => {
    setFsGid(2345);
    setFsUid(1234);
    close(ok(openat(AT_FDCWD, place.at("theirs"), O_RDWR | O_CREAT, 0o600)));
    const { uid, gid } = statSync(place.path("theirs"));
    expect([uid, gid]).toEqual([1234, 2345]);
  });
});

describe("groups", () => {
  test("open what a group may read, for this thread alone", () => {
    const others = ofOtherThreads("Groups");
    writeFileSync(place.path("shared"), "");
    chmodSync(place.path("shared"), 0o640);
    setFsGid(777);
    close(ok(openat(AT_FDCWD, place.at("grouped"), O_RDWR | O_CREAT, 0o040)));
    setFsGid(9);
    expect(setGroupList([5, 777])).toBe(0);
    setFsUid(1234);
    close(ok(openat(AT_FDCWD, place.at("grouped"), O_RDONLY, 0)));
    expect(outcome(openat(AT_FDCWD, place.at("shared"), O_RDONLY, 0))).toBe("EACCES");
    expect(status(gettid(), "Groups")).toBe("5 777");
    expect(ofOtherThreads("Groups")).toEqual(others);
    setFsUid(0);
    expect(setGroupList([])).toBe(0);
    expect(status(gettid(), "Groups")).toBe("");
  });

  test("a list that is too long is EINVAL", () => {
    expect(outcome(setGroups(list.address, 65_537))).toBe("EINVAL");
  });
});

describe("CAP_FSETID", () => {
  const effective = (tid: number | string) => BigInt(`0x${status(tid, "CapEff")}`);

  test("without it a write takes the setuid bit, with it the bit stays", () => {
    const fd = place.file("setuid");
    const byte = textRegion("x").address;
    const mode = () => statSync(place.path("setuid")).mode & 0o7777;
    chmodSync(place.path("setuid"), 0o6777);
    expect(write(fd, byte, 1)).toBe(1);
    expect(mode()).toBe(0o6777);
    expect(dropFsetid()).toBe(0);
    expect(write(fd, byte, 1)).toBe(1);
    expect(mode()).toBe(0o777);
    expect(raiseFsetid()).toBe(0);
    chmodSync(place.path("setuid"), 0o6777);
    expect(write(fd, byte, 1)).toBe(1);
    expect(mode()).toBe(0o6777);
    close(fd);
  });

  test("nothing else of this thread, and nothing of the others, changes", () => {
    const before = effective(gettid());
    const others = ofOtherThreads("CapEff");
    dropFsetid();
    expect(effective(gettid())).toBe(before & ~(1n << BigInt(CAP_FSETID)));
    expect(ofOtherThreads("CapEff")).toEqual(others);
    raiseFsetid();
    expect(effective(gettid())).toBe(before);
  });
});
