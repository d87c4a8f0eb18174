/** Files of the kernel show each user what the HOST's kernel would show it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { E } from "../../src/sys/errno.ts";
import { OpenFlag } from "../../src/wire/constants.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const NOBODY = 65_534;

let server: TestServer;
let client: RawClient;
/** A process of root's, its directory, and the node of a file in it. */
const sleeper = Bun.spawn(["sleep", "1000"]);
let directory = 0;

beforeAll(async () => {
  server = await TestServer.start({ exports: [{ path: "/proc", readOnly: false }] });
  client = server.client("/proc");
  directory = entryOf(client.ok("LOOKUP", 1, String(sleeper.pid))).node;
});
afterAll(async () => {
  sleeper.kill();
  server.hangUp();
  expect(await server.stop()).toBe(0);
});

const nodeOf = (name: string) => entryOf(client.ok("LOOKUP", directory, name)).node;
const open = (name: string, uid: number, flags: number = OpenFlag.READ) =>
  client.call("OPEN", [nodeOf(name), flags, 0, uid, uid]);

/** The fields of /proc/PID/stat that open(…, uid) gives. */
function statFields(uid: number): string[] {
  const [handle] = open("stat", uid).results as [number];
  const { payload } = client.call("READ", [handle, 0, 4096]);
  return payload.toString().split(" ");
}

test("root opens everything, others what they may", () => {
  expect(open("maps", 0).errno).toBe(0);
  expect(open("maps", NOBODY).errno).toBe(E.EACCES);
  expect(open("status", NOBODY).errno).toBe(0);
  // Who owns the thread that serves is as before.
  expect(open("maps", 0).errno).toBe(0);
});

test("what is read depends on who opened it", () => {
  const START_CODE = 25;
  expect(Number(statFields(0)[START_CODE])).toBeGreaterThan(1);
  expect(Number(statFields(NOBODY)[START_CODE])).toBeLessThanOrEqual(1);
});

test("so does where a link leads", () => {
  const exe = nodeOf("exe");
  expect(client.call("READLINK", [exe, 0, 0]).payload.toString()).toEndWith("/sleep");
  expect(client.errno("READLINK", exe, NOBODY, NOBODY)).toBe(E.EACCES);
});

test("what only root may write, the HOST's kernel refuses to others", () => {
  // Everybody may open it: who writes is asked then.
  const writeAs = (uid: number) => {
    const opened = open("timerslack_ns", uid, OpenFlag.READ | OpenFlag.WRITE);
    expect(opened.errno).toBe(0);
    const handle = opened.results[0] as number;
    return client.call("WRITE", [handle, 0, 0, 0], Buffer.from("60000")).errno;
  };
  expect(writeAs(NOBODY)).toBe(E.EPERM);
  expect(writeAs(0)).toBe(0);
});
