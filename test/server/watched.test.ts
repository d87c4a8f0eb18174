/** What the server tells of changes on the HOST, and to whom. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { REACTORS_MAX } from "../../src/server/daemon.ts";
import { OpenFlag, Policy } from "../../src/wire/constants.ts";
import { Event, Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { settle, TestServer } from "../support/server.ts";

const CALLER = [0o022, 0, 0, -1] as const;

let server: TestServer;
let client: RawClient;
let counter = 0;
let dir = "";
let at = 0;

const path = (name: string) => `${dir}/${name}`;
const look = (name: string, of = client) => entryOf(of.ok("LOOKUP", at, name));

/** What is told of while `work` is done on the HOST, without repetitions. */
function told(work: () => void, to = client): string[] {
  settle(to, at, dir);
  to.events.length = 0;
  work();
  settle(to, at, dir);
  const nodes = new Map([[at, "dir"]]);
  const seen = to.events.map(([event, node, what]) => {
    const name = nodes.get(node as number) ?? String(node);
    if (event === Event.CHANGED) return `changed ${name} ${what}`;
    return `${event === Event.RENAMED ? "name" : event} ${name}/${what}`;
  });
  return [...new Set(seen)].filter((line) => !line.includes("settled")).sort();
}

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(() => {
  const name = `d${counter++}`;
  dir = server.path(name);
  mkdirSync(dir);
  writeFileSync(path("f"), "data");
  client = server.client();
  at = entryOf(client.ok("LOOKUP", client.root, name)).node;
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("changes of data and of attributes alone are told apart", () => {
  const { node, policy } = look("f");
  expect(policy).toBe(Policy.WATCHED);
  expect(told(() => writeFileSync(path("f"), "other"))).toContain(`changed ${node} 1`);
  expect(told(() => chmodSync(path("f"), 0o600))).toEqual([`changed ${node} 0`, "changed dir 1"]);
});

test("names that come, go and move are told", () => {
  look("f");
  expect(told(() => writeFileSync(path("new"), ""))).toContain("name dir/new");
  expect(told(() => unlinkSync(path("new")))).toContain("name dir/new");
  const moved = told(() => renameSync(path("f"), path("g")));
  expect(moved).toContain("name dir/f");
  expect(moved).toContain("name dir/g");
  expect(told(() => mkdirSync(path("sub")))).toContain("name dir/sub");
  expect(told(() => rmdirSync(path("sub")))).toContain("name dir/sub");
});

test("names of any bytes are told as they are", () => {
  look("f");
  const name = Buffer.from([0x01, 0x80, 0xff]);
  told(() => writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), name]), ""));
  const found = client.events.some(([event, , what]) => {
    return event === Event.RENAMED && name.equals(what as Uint8Array);
  });
  expect(found).toBe(true);
});

test("a name that was looked up in vain is told when it appears", () => {
  expect(client.errno("LOOKUP", at, "later")).not.toBe(0);
  expect(told(() => writeFileSync(path("later"), ""))).toContain("name dir/later");
});

test("a directory that was only listed is told of, too", () => {
  mkdirSync(server.path("listed"));
  writeFileSync(server.path("listed/f"), "");
  const listed = entryOf(client.ok("LOOKUP", client.root, "listed")).node;
  client.ok("READDIR", 1, listed, 0, 4096, 152);
  told(() => writeFileSync(server.path("listed/g"), ""));
  const names = client.events.filter(([event, node]) => event === Event.RENAMED && node === listed);
  expect(names.map(([, , what]) => String(what))).toContain("g");
});

test.each(["LOOKUP", "READDIR"])(
  "a directory that was only described is told of, too (%s)",
  (how) => {
    const name = `described-${how}`;
    mkdirSync(path(name));
    const look = () => entryOf(client.ok("LOOKUP", at, name)).node;
    if (how === "READDIR") client.ok("READDIR", 1, at, 0, 8192, 152);
    // The number of its node, which LOOKUP alone tells without being asked for more.
    const node = how === "LOOKUP" ? look() : undefined;
    const mode = told(() => chmodSync(path(name), 0o700));
    const inside = told(() => writeFileSync(`${path(name)}/f`, ""));
    const known = node ?? look();
    expect(mode).toContain(`changed ${known} 0`);
    expect(inside).toContain(`changed ${known} 1`);
  },
);

test("what the client does itself it is not told", () => {
  look("f");
  const lines = told(() => {
    client.ok("MKDIR", at, "own", 0o755, ...CALLER);
    const [handle] = client.ok("OPEN", look("f").node, OpenFlag.WRITE, 0) as [number];
    client.call("WRITE", [handle, 0, 0, 0], Buffer.from("own"));
    client.ok("RMDIR", at, "own");
  });
  expect(lines.filter((line) => !line.startsWith("changed dir"))).toEqual([]);
});

test("what one client does another is told", () => {
  const other = server.client();
  const { node } = look("f");
  entryOf(other.ok("LOOKUP", other.root, dir.split("/").at(-1) as string));
  const lines = told(() => {
    const known = entryOf(other.ok("LOOKUP", at, "f")).node;
    other.ok("SETATTR", known, 0, 1, 0o640, 0, 0, 0, 0, 0, 0, 0);
    other.ok("MKDIR", at, "theirs", 0o755, ...CALLER);
  });
  expect(lines).toContain(`changed ${node} 0`);
  expect(lines).toContain("name dir/theirs");
});

test("what the client has forgotten it is not told", () => {
  const { node } = look("f");
  client.oneway(Oneway.FORGET, 1, node, 1);
  expect(told(() => chmodSync(path("f"), 0o600))).not.toContain(`changed ${node} 0`);
});

test("a file with several names is not cached as a watched one", () => {
  linkSync(path("f"), server.path(`alias-${counter}`));
  expect(look("f").policy).toBe(Policy.ORDINARY);
});

test("thousands of changes while the client does not listen are told once it does", () => {
  look("f");
  const made = 20_000;
  told(() => {
    for (let i = 0; i < made; i++) writeFileSync(path(`n${i}`), "");
  });
  const names = new Set(client.events.map(([, , what]) => String(what)));
  const missing = Array.from({ length: made }, (_, i) => `n${i}`).filter((n) => !names.has(n));
  // Where the queue overflows, the client is told that everything changed instead.
  const everything = client.events.some(([event, node]) => event === Event.CHANGED && node === 1);
  expect(missing.length === 0 || everything).toBe(true);
});

test("each client hears of what all others do and of nothing that it does, also in one thread", () => {
  // More than the server has threads, so that some share one.
  const clients = [client, ...Array.from({ length: REACTORS_MAX + 1 }, () => server.client())];
  const name = dir.slice(dir.lastIndexOf("/") + 1);
  const nodes = clients.map((one) => entryOf(one.ok("LOOKUP", one.root, name)).node);
  clients.forEach((one, i) => {
    one.errno("LOOKUP", nodes[i] as number, "never");
  });
  for (let round = 0; round < 3; round++) {
    clients.forEach((one, i) => {
      one.ok("MKDIR", nodes[i] as number, `of${i}-${round}`, 0o755, ...CALLER);
    });
  }
  const all = clients.flatMap((_, i) => [0, 1, 2].map((round) => `of${i}-${round}`));
  clients.forEach((one, i) => {
    settle(one, nodes[i] as number, dir);
    const heard = one.events
      .filter(([event, parent]) => event === Event.RENAMED && parent === nodes[i])
      .map(([, , what]) => String(what));
    const others = all.filter((made) => !made.startsWith(`of${i}-`));
    expect([...new Set(heard)].filter((made) => made.startsWith("of")).sort()).toEqual(others);
  });
});
