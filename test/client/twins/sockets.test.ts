/** Sockets of the HOST on a mount: who waits for what, and what the twin process is told. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { NoticeKind, NoticeQueue } from "../../../src/client/noticequeue.ts";
import { Head } from "../../../src/client/record.ts";
import {
  Channel,
  type FromTwins,
  type Node,
  type ToTwins,
  twinChannel,
} from "../../../src/client/twins/channel.ts";
import {
  aliasName,
  DOORS_NAME,
  doorName,
  doorsLow,
  levelLow,
  TWIN_HIGH,
} from "../../../src/client/twins/doors.ts";
import { type TwinNews, Twins } from "../../../src/client/twins/twins.ts";
import {
  ATTR,
  ENTRY_OUT,
  MKNOD_IN_SIZE,
  Opcode,
  PRUNE_MINOR,
  RENAME2_IN_SIZE,
} from "../../../src/fuse/protocol.ts";
import { E } from "../../../src/sys/errno.ts";
import { FileType, NO_KEY } from "../../../src/wire/constants.ts";
import { Oneway, Op } from "../../../src/wire/ops.ts";
import { Rig, type Told } from "../rig.ts";

const TWIN = 4242;
const STRANGER = process.pid;
const DIRECTORY = 7;
const SOCKET = 9;
const STREAM = 1;
const KEY = 77;
/** In place of the number of a hidden directory: the mount's root. */
const ROOT = 0;

let rig: Rig;
let twin: Channel<ToTwins, FromTwins>;
let twins: Twins;
let notices: NoticeQueue;
let news: TwinNews[];

/** A twin process that the mount's thread has, at the other end of a new channel. */
function connect(): number {
  const [ours, theirs] = twinChannel();
  twin = new Channel(theirs);
  return ours;
}

beforeEach(() => {
  rig = new Rig();
  notices = new NoticeQueue();
  news = [];
  twins = new Twins(rig.client, {
    fd: connect(),
    notices,
    mount: () => ({
      kind: "mount",
      ...{ target: "/mnt", source: "/srv", servers: [], session: "", epoch: 1, lives: 1 },
      facts: { build: "", arch: "", kernel: "", bootId: "", pageSize: 4096, pid: 1 },
    }),
    tell: (one) => news.push(one),
    log: () => {},
  });
  rig.client.twins = twins;
});
afterEach(() => {
  twin.close();
  rig.close();
});

const text = (name: string) => Buffer.from(`${name}\0`);

/** The attributes of a socket's file, as the server sends them: `type` listens there. */
function entry(type: number, node = SOCKET, inode = 1000 + node): number[] {
  const times = [0, 0, 0, 0, 0, 0];
  return [node, inode, 0, 0, ...times, FileType.SOCKET | 0o755, 1, 5, 6, type, 4096, 0];
}

/** Somebody looks the socket up, and the server says that `type` listens there. */
function lookup(type: number, pid = STRANGER, node = SOCKET, inode = 1000 + node): number {
  const unique = rig.request(Opcode.LOOKUP, text("sock"), { node: DIRECTORY, pid });
  const [frame] = rig.received();
  if (frame === undefined) throw new Error("the server was not asked");
  rig.reply(frame, 0, entry(type, node, inode));
  rig.settle();
  return unique;
}

/** What the twin process is told since, but how the mount is. */
function heard(): ToTwins[] {
  const all: ToTwins[] = [];
  for (let one = twin.receive(); one !== undefined; one = twin.receive()) {
    if (one.kind !== "mount") all.push(one);
  }
  return all;
}

/** The twin process says something. */
function say(...messages: FromTwins[]): void {
  for (const message of messages) twin.send(message);
  twins.step();
}

const hello = () => say({ kind: "hello", pid: TWIN, tids: [TWIN] });
const node: Node = [0, SOCKET];
const served = (errno = 0, low = SOCKET): FromTwins => ({
  kind: "served",
  node: [0, low],
  channel: 0,
  type: STREAM,
  errno,
});

function modeOf(told: Told | undefined): number | undefined {
  return told?.body.readUInt32LE(ENTRY_OUT.attr + ATTR.mode);
}

describe("a socket at which somebody on the HOST listens", () => {
  test("is served before whoever looks it up goes on", () => {
    const unique = lookup(STREAM);
    expect(rig.told()).toBeUndefined();
    expect(news).toEqual([{ kind: "twinsWanted" }]);
    const serve = {
      kind: "serve",
      channel: 0,
      node,
      parent: [0, DIRECTORY],
      name: "sock",
    } as const;
    expect(heard()).toEqual([{ ...serve, type: STREAM, uid: 5, gid: 6 }]);
    say(served());
    const told = rig.told() as Told;
    expect(told.unique).toBe(unique);
    expect(modeOf(told)).toBe(FileType.SOCKET | 0o755);
    // The device is none, nothing is believed.
    expect(told.body.readUInt32LE(ENTRY_OUT.attr + ATTR.rdev)).toBe(0);
    expect(told.body.readBigUInt64LE(ENTRY_OUT.entry_valid)).toBe(0n);
    expect(told.body.readBigUInt64LE(ENTRY_OUT.attr_valid)).toBe(0n);
  });

  test("is asked for once, whoever waits, and not again", () => {
    const uniques = [lookup(STREAM), lookup(STREAM), lookup(STREAM)];
    expect(heard()).toHaveLength(1);
    say(served());
    expect([rig.told()?.unique, rig.told()?.unique, rig.told()?.unique]).toEqual(uniques);
    const later = lookup(STREAM);
    expect(rig.told()?.unique).toBe(later);
    expect(heard()).toEqual([]);
  });

  test("is answered as itself while another one's answer is being made", () => {
    const uniques = [lookup(STREAM)];
    // It is heard when it is asked who looks the other one up.
    twin.send(served());
    uniques.push(lookup(STREAM, STRANGER, SOCKET + 1));
    say(served(0, SOCKET + 1));
    const told = [rig.told() as Told, rig.told() as Told];
    expect(told.map(({ unique }) => unique)).toEqual(uniques);
    const nodes = told.map(({ body }) => body.readUInt32LE(ENTRY_OUT.nodeid));
    expect(nodes).toEqual([SOCKET, SOCKET + 1]);
  });

  test("is waited for without the root locked when the twin process cannot enter that", () => {
    const unique = rig.request(Opcode.LOOKUP, text("sock"), { node: 1, pid: STRANGER });
    const [frame] = rig.received();
    if (frame !== undefined) rig.reply(frame, 0, entry(STREAM));
    rig.settle();
    hello();
    expect(rig.told()).toBeUndefined();
    say({ kind: "stuck" });
    expect(rig.told()?.unique).toBe(unique);
    const asked = rig.request(Opcode.GETATTR, Buffer.alloc(16), { node: SOCKET, pid: STRANGER });
    const [question] = rig.received();
    if (question !== undefined) rig.reply(question, 0, entry(STREAM).slice(1));
    rig.settle();
    say({ kind: "stuck" });
    expect(rig.told()).toBeUndefined();
    say(served());
    expect(rig.told()?.unique).toBe(asked);
  });

  test("that cannot be served holds nobody up", () => {
    lookup(STREAM);
    say(served(E.EMFILE));
    expect(rig.told()?.error).toBe(0);
    heard();
    lookup(STREAM);
    expect(heard()).toHaveLength(1);
  });

  test("that has ended refuses before whoever looks it up goes on", () => {
    lookup(STREAM);
    say(served());
    rig.told();
    heard();
    lookup(0);
    expect(rig.told()).toBeUndefined();
    expect(heard()).toEqual([{ kind: "unserve", node: [0, SOCKET] }]);
    say({ kind: "unserved", node });
    expect(rig.told()?.error).toBe(0);
    lookup(0);
    expect(rig.told()?.error).toBe(0);
    expect(heard()).toEqual([]);
  });

  test("is not waited for by the twin process itself", () => {
    hello();
    lookup(STREAM, TWIN);
    expect(rig.told()?.error).toBe(0);
    expect(heard()).toEqual([]);
  });

  test("whose caller is answered otherwise is forgotten on the server", () => {
    lookup(STREAM);
    twins.parked.failAll(E.EIO);
    expect(rig.told()?.error).toBe(-E.EIO);
    say(served());
    expect(rig.told()).toBeUndefined();
    rig.client.sendOwed();
    expect(rig.received().map(({ items }) => items)).toEqual([[Oneway.FORGET, 1, SOCKET, 1]]);
  });
});

describe("a twin process that ends", () => {
  test("is followed by another, which serves those that wait", () => {
    const unique = lookup(STREAM);
    heard();
    twin.close();
    twins.step();
    expect(news.map(({ kind }) => kind)).toEqual(["twinsWanted", "twinsEnded"]);
    twins.renew(connect());
    expect(heard().map(({ kind }) => kind)).toEqual(["serve"]);
    say(served());
    expect(rig.told()?.unique).toBe(unique);
  });

  test("and is not to be followed holds nobody up", () => {
    lookup(STREAM);
    twin.close();
    twins.step();
    const said = rig.received().map(({ items }) => items.slice(2));
    expect(said).toEqual([[Op.TWIN_CLOSE, NO_KEY]]);
    twins.renew(-1);
    expect(rig.told()?.error).toBe(0);
    lookup(STREAM);
    expect(rig.told()?.error).toBe(0);
  });
});

describe("questions of the twin process", () => {
  test("are the session's, and answered", () => {
    say({ kind: "ask", id: 3, op: Op.TWIN_OPEN, args: [node] });
    const [frame] = rig.received();
    expect(frame?.items.slice(2)).toEqual([Op.TWIN_OPEN, SOCKET]);
    rig.client.transport.receive();
    if (frame !== undefined) rig.reply(frame, 0, [KEY]);
    rig.client.transport.receive();
    expect(rig.client.transport.next()).toBe(true);
    const { reader } = rig.client.transport;
    reader.array();
    const slot = reader.uint();
    reader.uint();
    reader.uint();
    expect(twins.answer(slot, 0)).toBe(true);
    expect(heard()).toEqual([{ kind: "reply", id: 3, errno: 0, results: [KEY] }]);
  });

  test("have no answer where the session is another", () => {
    say({ kind: "ask", id: 4, op: Op.TWIN_CLOSE, args: [KEY] });
    twins.connected(true);
    expect(heard()).toEqual([{ kind: "reply", id: 4, errno: E.ESTALE, results: [] }]);
  });
});

describe("a socket that a process here has bound", () => {
  const own = () => say({ kind: "owned", node, channel: 0, type: STREAM, key: KEY });
  /** What the kernel is told next, a moment after something was looked up. */
  const dropped = (): string => {
    const { count } = notices;
    while (notices.count === count) twins.check();
    const { kind, low, name } = notices.take() ?? { kind: 0, low: 0, name: "" };
    expect([NoticeKind.GONE, NoticeKind.UNUSED]).toContain(kind as 5 | 6);
    return kind === NoticeKind.GONE ? `${low}/${name}` : `${low}`;
  };

  test("is left to the kernel, which is to keep no name of it", () => {
    own();
    lookup(STREAM);
    expect(rig.told()?.error).toBe(0);
    expect(heard()).toEqual([]);
    expect(twins.waits).toBe(true);
    expect(dropped()).toBe(`${DIRECTORY}/sock`);
    expect(twins.waits).toBe(false);
  });

  test("is only forgotten where nobody uses it, by a kernel that can", () => {
    rig.client.record.set(Head.MINOR, PRUNE_MINOR);
    own();
    lookup(STREAM);
    expect(dropped()).toBe(`${SOCKET}`);
  });

  test("is looked for when the kernel forgets it", () => {
    own();
    heard();
    rig.request(Opcode.FORGET, Buffer.alloc(8, 1), { node: SOCKET });
    rig.request(Opcode.FORGET, Buffer.alloc(8, 1), { node: SOCKET + 1 });
    expect(heard()).toEqual([{ kind: "check", node: [0, SOCKET] }]);
    say({ kind: "disowned", node });
    rig.request(Opcode.FORGET, Buffer.alloc(8, 1), { node: SOCKET });
    expect(heard()).toEqual([]);
  });

  test("is looked up again once its end is known, if the kernel had forgotten it", () => {
    own();
    lookup(STREAM);
    expect(rig.told()?.error).toBe(0);
    heard();
    lookup(STREAM, STRANGER, SOCKET + 1, 1000 + SOCKET);
    expect(rig.told()).toBeUndefined();
    expect(heard()).toEqual([{ kind: "check", node: [0, SOCKET] }]);
    say({ kind: "disowned", node });
    expect(rig.told()?.error).toBe(-E.ESTALE);
  });

  test("is known by its new name", () => {
    own();
    lookup(STREAM);
    expect(dropped()).toBe(`${DIRECTORY}/sock`);
    twins.sockets.renamed([0, DIRECTORY], "sock", [0, 8], "other");
    expect(dropped()).toBe("8/other");
    twins.sockets.renamed([0, DIRECTORY], "sock", [0, 8], "third");
    twins.sockets.renamed([0, 8], "other", [0, 8], "last");
    expect(dropped()).toBe("8/last");
    expect(twins.waits).toBe(false);
  });

  test("of which a twin process knows is not served as the HOST's", () => {
    lookup(STREAM);
    own();
    expect(rig.told()?.error).toBe(0);
    lookup(STREAM);
    expect(rig.told()?.error).toBe(0);
  });

  test("is told to the next twin process", () => {
    own();
    twin.close();
    twins.step();
    twins.renew(connect());
    expect(heard()).toEqual([
      { kind: "own", channel: 0, node: [0, SOCKET], type: STREAM, key: 0, name: "" },
      { kind: "check", node: [0, SOCKET] },
    ]);
  });
});

describe("the hidden directory", () => {
  const ask = (opcode: number, name: string, low: number, pid = TWIN, before = 0) => {
    const node = low === ROOT ? 1n : (BigInt(TWIN_HIGH) << 32n) | BigInt(low);
    const body = Buffer.concat([Buffer.alloc(before), text(name)]);
    rig.request(opcode, body, { node, pid });
    return rig.told();
  };
  const look = (name: string, low: number, pid = TWIN) => ask(Opcode.LOOKUP, name, low, pid);
  const lowOf = (told: Told | undefined) => told?.body.readUInt32LE(ENTRY_OUT.nodeid);
  const highOf = (told: Told | undefined) => told?.body.readUInt32LE(ENTRY_OUT.nodeid + 4);

  beforeEach(() => {
    lookup(STREAM);
    hello();
    say(served());
    while (rig.told() !== undefined) rig.received();
  });

  test("is there for the twin process alone", () => {
    expect(lowOf(look(DOORS_NAME, ROOT))).toBe(doorsLow(0));
    expect(look(DOORS_NAME, ROOT, STRANGER)).toBeUndefined();
    expect(rig.received().map(({ items }) => items[2])).toEqual([Op.LOOKUP]);
    expect(look(aliasName(node), doorsLow(0), STRANGER)?.error).toBe(-E.ENOENT);
  });

  test("has other names of nodes", () => {
    const told = look(aliasName(node), doorsLow(0));
    expect([highOf(told), lowOf(told)]).toEqual([0, SOCKET]);
    expect(modeOf(told)).toBe(FileType.SOCKET | 0o755);
    // The server has counted no lookup.
    rig.request(Opcode.FORGET, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), { node: SOCKET });
    rig.client.sendOwed();
    expect(rig.received()).toEqual([]);
  });

  test("has directories for a path, whose last name becomes the node", () => {
    const number = 5000;
    expect(lowOf(look(doorName(number, node, 3), doorsLow(0)))).toBe(levelLow(number, 0));
    expect(lowOf(look("run", levelLow(number, 0)))).toBe(levelLow(number, 1));
    expect(lowOf(look("app", levelLow(number, 1)))).toBe(levelLow(number, 2));
    expect(look("sock", levelLow(number, 2))?.error).toBe(-E.ENOENT);
    const make = (level: number) =>
      ask(Opcode.MKNOD, "sock", levelLow(number, level), TWIN, MKNOD_IN_SIZE);
    expect(make(1)?.error).toBe(-E.ESTALE);
  });

  test("makes nothing but what is expected, and nothing on the HOST", () => {
    const number = 5001;
    look(doorName(number, node, 1), doorsLow(0));
    const told = ask(Opcode.MKNOD, "sock", levelLow(number, 0), TWIN, MKNOD_IN_SIZE);
    expect([highOf(told), lowOf(told)]).toEqual([0, SOCKET]);
    // Once.
    const again = ask(Opcode.MKNOD, "sock", levelLow(number, 0), TWIN, MKNOD_IN_SIZE);
    expect(again?.error).toBe(-E.ESTALE);
    for (const opcode of [Opcode.MKDIR, Opcode.UNLINK, Opcode.RENAME2, Opcode.SETATTR]) {
      expect(ask(opcode, "sock", doorsLow(0), TWIN, RENAME2_IN_SIZE)?.error).toBe(-E.EPERM);
    }
    expect(rig.received()).toEqual([]);
  });

  test("says that the kernel has no inode any more", () => {
    rig.request(Opcode.LOOKUP, text("."), { node: SOCKET, pid: TWIN });
    expect(rig.told()?.error).toBe(-E.ENOENT);
    rig.request(Opcode.LOOKUP, text("."), { node: SOCKET, pid: STRANGER });
    expect(rig.received().map(({ items }) => items[2])).toEqual([Op.GETATTR]);
  });
});

test("a process that takes over asks the twin process what there is", () => {
  expect(rig.client.record.get(Head.TWIN)).toBe(0);
  hello();
  expect(rig.client.record.get(Head.TWIN)).toBe(TWIN);
  new Twins(rig.client, {
    fd: connect(),
    notices,
    mount: () => ({
      kind: "mount",
      ...{ target: "/mnt", source: "/srv", servers: [], session: "", epoch: 1, lives: 1 },
      facts: { build: "", arch: "", kernel: "", bootId: "", pageSize: 4096, pid: 1 },
    }),
    tell: () => {},
    log: () => {},
  });
  expect(heard()).toEqual([{ kind: "list" }]);
});
