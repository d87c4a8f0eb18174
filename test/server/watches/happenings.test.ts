/** What the server tells of nodes that a client's programs watch, and to whom. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { E } from "../../../src/sys/errno.ts";
import { Happening, OpenFlag } from "../../../src/wire/constants.ts";
import { EVENT_WATCHES_MAX } from "../../../src/wire/limits.ts";
import { Event, Oneway } from "../../../src/wire/ops.ts";
import { entryOf } from "../../support/attributes.ts";
import { RawClient } from "../../support/client.ts";
import { TestServer } from "../../support/server.ts";

const CALLER = [0o022, 0, 0, -1] as const;

let server: TestServer;
let client: RawClient;
let counter = 0;
let dir = "";
let at = 0;

const path = (name: string) => `${dir}/${name}`;
const look = (name: string, of = client) => entryOf(of.ok("LOOKUP", at, name)).node;

function kindsOf(bits: number): string {
  return Object.entries(Happening)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name)
    .join("+");
}

/** The happenings so far that `to` was told of, without those of the name that says they are all. */
function told(to = client): string[] {
  const last = `last${counter++}`;
  const isLast = (event: unknown[]) => String(event[3]) === last && event[1] === 8;
  writeFileSync(path(last), "");
  to.pump(() => to.events.some(isLast) || to.closed);
  const lines = to.events
    .filter(([event, , , name]) => event === Event.HAPPENED && !String(name).startsWith("last"))
    .map(([, kinds, directory, name, toDirectory, toName, node]) => {
      const from = `${directory === at ? "dir" : directory}/${name}`;
      const goal =
        toDirectory === 0 ? "" : ` ${toDirectory === at ? "dir" : toDirectory}/${toName}`;
      return `${kindsOf(kinds as number)} ${from}${goal}${node === 0 ? "" : ` of ${node}`}`;
    });
  to.events.length = 0;
  return lines.filter((line, i) => line !== lines[i - 1]);
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

test("entries of a watched directory: what happened, in its order, to which node", () => {
  look("f");
  client.ok("WATCH", at, 1);
  appendFileSync(path("f"), "more");
  chmodSync(path("f"), 0o600);
  mkdirSync(path("sub"));
  renameSync(path("f"), path("g"));
  rmdirSync(path("sub"));
  unlinkSync(path("g"));
  // Whether the node is named depends on whether the file is still there when that is looked up.
  expect(told().map((line) => line.replace(/ of .*/, ""))).toEqual([
    "MODIFY dir/f",
    "CLOSE_WRITE dir/f",
    "ATTRIB dir/f",
    "CREATE+DIRECTORY dir/sub",
    "MOVE dir/f dir/g",
    "DELETE+DIRECTORY dir/sub",
    "DELETE dir/g",
  ]);
  writeFileSync(path("kept"), "");
  const kept = look("kept");
  told();
  chmodSync(path("kept"), 0o640);
  expect(told()).toEqual([`ATTRIB dir/kept of ${kept}`]);
});

test("moves to and from where nobody watches have one end", () => {
  mkdirSync(`${dir}.elsewhere`);
  client.ok("WATCH", at, 1);
  renameSync(path("f"), `${dir}.elsewhere/f`);
  renameSync(`${dir}.elsewhere/f`, path("back"));
  expect(told()).toEqual(["MOVE dir/f", "MOVE 0/ dir/back"]);
});

test("a file itself, also after its last name went, unless its directory is watched", () => {
  const node = look("f");
  client.ok("WATCH", node, 1);
  chmodSync(path("f"), 0o600);
  client.ok("WATCH", at, 1);
  expect(told()).toEqual([`ATTRIB ${node}/ of ${node}`]);
  chmodSync(path("f"), 0o640);
  expect(told()).toEqual([`ATTRIB dir/f of ${node}`]);
  client.ok("WATCH", at, 0);
  unlinkSync(path("f"));
  client.ok("WATCH", at, 1);
  expect(told()).toContain(`DELETE_SELF ${node}/ of ${node}`);
});

test("what the client does itself it is not told, and what the HOST does meanwhile it is", () => {
  const node = look("f");
  client.ok("WATCH", at, 1);
  client.ok("WATCH", node, 1);
  client.ok("MKDIR", at, "own", 0o755, ...CALLER);
  const [handle] = client.ok("OPEN", node, OpenFlag.WRITE, 0) as [number];
  writeFileSync(path("theirs"), "");
  client.call("WRITE", [handle, 0, 0, 0], Buffer.from("own"));
  client.ok("SETATTR", node, 0, 1, 0o640, 0, 0, 0, 0, 0, 0, 0);
  client.oneway(Oneway.RELEASE, handle);
  client.ok("RENAME", at, "f", at, "g", 0);
  client.ok("RMDIR", at, "own");
  client.ok("UNLINK", at, "g");
  expect(told().map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
    "CREATE dir/theirs",
    "MODIFY dir/theirs",
    "CLOSE_WRITE dir/theirs",
  ]);
});

test("what one client does another is told", () => {
  const other = server.client();
  entryOf(other.ok("LOOKUP", other.root, dir.split("/").at(-1) as string));
  for (const one of [client, other]) one.ok("WATCH", at, 1);
  other.ok("MKDIR", at, "theirs", 0o755, ...CALLER);
  expect(told()).toEqual(["CREATE+DIRECTORY dir/theirs"]);
  expect(told(other)).toEqual([]);
});

test("a watch ends when it is taken back, and with its node", () => {
  const node = look("f");
  client.ok("WATCH", at, 1);
  client.ok("WATCH", node, 1);
  client.ok("WATCH", node, 1);
  client.oneway(Oneway.FORGET, 1, node, 1);
  expect(client.errno("WATCH", node, 0)).toBe(E.ESTALE);
  chmodSync(path("f"), 0o600);
  expect(told()).toEqual(["ATTRIB dir/f"]);
  client.ok("WATCH", at, 0);
  chmodSync(path("f"), 0o640);
  client.ok("WATCH", at, 1);
  expect(told()).toEqual([]);
});

test("what happens while there is no connection is told on the next one", async () => {
  client.ok("WATCH", at, 1);
  told();
  client.transport.close();
  await Bun.sleep(50);
  renameSync(path("f"), path("g"));
  const again = RawClient.resumed(server.address, client);
  try {
    expect(told(again)).toEqual(["MOVE dir/f dir/g"]);
  } finally {
    again.transport.close();
  }
});

test("a session watches no more than it may", () => {
  const tooMany = EVENT_WATCHES_MAX + 1;
  let refused = 0;
  for (let i = 0; i < tooMany; i++) {
    writeFileSync(path(`n${i}`), "");
    refused = client.errno("WATCH", look(`n${i}`), 1);
    if (refused !== 0) expect([i, refused]).toEqual([EVENT_WATCHES_MAX, E.ENOSPC]);
  }
  expect(refused).toBe(E.ENOSPC);
}, 120_000);
