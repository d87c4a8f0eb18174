/** Streams between a client and sockets of the HOST's, through a real server. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chownSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { accept } from "../../src/sys/socket.ts";
import { NO_KEY, OpenFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op } from "../../src/wire/ops.ts";
import { SocketType, StreamKind } from "../../src/wire/streams.ts";
import { connected, Echo, listening, peerName, Talker } from "../bridge/program.ts";
import { until } from "../support/server.ts";
import { BridgeRig, Entry, Outcome } from "./bridgerig.ts";

const LEASE_MS = 20_000;
let rig: BridgeRig;
let closers: (() => void)[] = [];

beforeEach(async () => {
  rig = await BridgeRig.start({ leaseMs: LEASE_MS });
});
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await rig.stop();
});

function echo(name: string, echoes = true, backlog = 128): Echo {
  const fd = listening(rig.server.share, name, SocketType.STREAM, backlog);
  const program = new Echo(rig.loop, fd, echoes);
  closers.push(() => program.close());
  return program;
}

describe("who listens is told by LOOKUP", () => {
  test.each([
    ["stream", SocketType.STREAM],
    ["datagrams", SocketType.DGRAM],
    ["packets", SocketType.SEQPACKET],
  ])("%s", (name, type) => {
    const fd = listening(rig.server.share, name, type);
    for (let i = 0; i < 3; i++) expect(rig.lookup(name)[Entry.RDEV]).toBe(type);
    // The server's kernel has told what they are: nobody has seen a connection.
    if (type !== SocketType.DGRAM) {
      let seen = 0;
      for (let got = accept(fd); got >= 0; got = accept(fd)) {
        seen++;
        close(got);
      }
      expect(seen).toBe(0);
    }
    close(fd);
    expect(rig.lookup(name)[Entry.RDEV]).toBe(0);
    unlinkSync(rig.server.path(name));
    const again = listening(rig.server.share, name, SocketType.STREAM);
    expect(rig.lookup(name)[Entry.RDEV]).toBe(SocketType.STREAM);
    close(again);
  });
});

describe("to sockets of the HOST's", () => {
  test("both ways, with ends one by one, as the caller", () => {
    const program = echo("service");
    const talker = rig.connect(rig.key("service"), 1234, 77, [5, 6]);
    talker.say("hello");
    rig.until(() => String(talker.heard) === "hello", "an echo comes back");
    expect(program.talkers[0]?.credentials).toMatchObject({ uid: 1234, gid: 77 });
    talker.end();
    rig.until(() => talker.ended, "the end comes back");
    expect(program.talkers[0]?.ended).toBe(true);
    expect(talker.errno).toBe(0);
  });

  test("permissions that the client has checked are no matter, and the server stays itself", () => {
    const program = echo("private");
    chownSync(rig.server.path("private"), 0, 0);
    Bun.spawnSync(["chmod", "700", rig.server.path("private")]);
    const talker = rig.connect(rig.key("private"), 1234, 77);
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "an echo comes back");
    expect(program.talkers[0]?.credentials).toMatchObject({ uid: 1234, gid: 77 });
    const second = rig.connect(rig.key("private"));
    second.say("y");
    rig.until(() => second.heard.length === 1, "another echo comes back");
    expect(program.talkers[1]?.credentials).toMatchObject({ uid: 0, gid: 0 });
  });

  test("what refuses a connection resets the stream with its errno", () => {
    const program = echo("gone");
    const key = rig.key("gone");
    const outcomes = [
      [SocketType.SEQPACKET, E.EPROTOTYPE],
      [3, E.EPROTONOSUPPORT],
    ] as const;
    for (const [type, errno] of outcomes) {
      const outcome = new Outcome();
      rig.open(key, outcome, type);
      rig.until(() => outcome.closed, "the stream is reset");
      expect(outcome.errno).toBe(errno);
    }
    closers = [];
    program.close();
    const outcome = new Outcome();
    rig.open(key, outcome);
    rig.until(() => outcome.closed, "the stream is reset");
    expect(outcome.errno).toBe(E.ECONNREFUSED);
  });

  test("a full queue is waited for, and nobody else waits with it", () => {
    const slow = listening(rig.server.share, "slow", SocketType.STREAM, 0);
    const other = echo("other");
    const key = rig.key("slow");
    const talkers = Array.from({ length: 20 }, () => rig.connect(key));
    for (const [i, talker] of talkers.entries()) talker.say(`from ${i};`);
    const quick = rig.connect(rig.key("other"));
    quick.say("quick");
    rig.until(() => String(quick.heard) === "quick", "the other socket answers");
    expect(other.talkers.length).toBe(1);
    const program = new Echo(rig.loop, slow);
    closers.push(() => program.close());
    rig.until(() => talkers.every(({ heard }) => heard.length > 0), "all are answered");
    expect(talkers.map(({ heard }) => String(heard))).toEqual(talkers.map((_, i) => `from ${i};`));
  });

  test("a stalled reader stalls nobody of a thousand", () => {
    const sink = echo("sink", false);
    const program = echo("service", true, 1024);
    const stalled = rig.connect(rig.key("sink"));
    rig.until(() => sink.talkers.length === 1, "the sink has its connection");
    const reader = sink.talkers[0] as Talker;
    rig.loop.remove(reader.fd);
    // More than the kernel's queues and the stream's window take.
    let stuck = 0;
    for (let i = 0; i < 200 && stuck < 5; i++) {
      try {
        stalled.say("x".repeat(16_384));
        rig.loop.turn(0);
        stuck = 0;
      } catch {
        stuck++;
        rig.loop.turn(5);
      }
    }
    expect(stuck).toBe(5);
    const key = rig.key("service");
    const talkers = Array.from({ length: 1000 }, () => rig.connect(key));
    for (const [i, talker] of talkers.entries()) talker.say(`number ${i}`);
    const all = () => talkers.every(({ heard }, i) => String(heard) === `number ${i}`);
    rig.until(all, "all the others are answered");
    expect(program.talkers.length).toBe(1000);
  });
});

describe("to programs of the client's", () => {
  test("who connects on the HOST is joined to a stream, and told of", () => {
    const { node, key } = rig.bind("mine");
    expect(node).toBe(rig.lookup("mine")[Entry.NODE] as number);
    const seen: { talker: Talker; description: readonly unknown[] }[] = [];
    rig.serve((talker, description) => seen.push({ talker, description }));
    const client = new Talker(rig.loop, connected(rig.server.path("mine")));
    client.say("to the client");
    rig.until(() => String(seen[0]?.talker.heard) === "to the client", "it is heard");
    expect(seen[0]?.description).toEqual([key, SocketType.STREAM, 0, 0, process.pid]);
    expect(peerName(client.fd)).toBe(rig.server.path("mine"));
    seen[0]?.talker.say("and back");
    rig.until(() => String(client.heard) === "and back", "the answer is heard");
    seen[0]?.talker.end();
    rig.until(() => client.ended, "the end is heard");
    client.close();
    rig.mount.ok("TWIN_CLOSE", key);
    rig.until(() => connected(rig.server.path("mine")) === -E.ECONNREFUSED, "nobody listens");
  });

  test("without a client's end connections wait in the queue", () => {
    rig.bind("early");
    rig.until(() => rig.link.end.connected, "the client's end is connected");
    rig.link.close();
    const client = new Talker(rig.loop, connected(rig.server.path("early")));
    client.say("early");
    rig.relink();
    let heard: Talker | undefined;
    rig.serve((talker) => {
      heard = talker;
    });
    rig.until(() => String(heard?.heard) === "early", "it is heard");
    client.close();
  });

  test("names of 107 bytes, modes and owners are what was asked for", () => {
    const name = "n".repeat(107);
    const { mount, server } = rig;
    const args = [mount.root, name, 0o140640, 0o077, 1234, 77, -1, SocketType.SEQPACKET];
    const results = mount.ok("SOCKET_BIND", ...args);
    const { mode, uid, gid } = statSync(server.path(name));
    expect([mode.toString(8), uid, gid]).toEqual(["140600", 1234, 77]);
    expect(results[Entry.RDEV]).toBe(SocketType.SEQPACKET);
    expect(mount.errno("SOCKET_BIND", ...args)).toBe(E.EEXIST);
    args[1] = "n".repeat(108);
    expect(mount.errno("SOCKET_BIND", ...args)).toBe(E.EINVAL);
    args[1] = "other";
    args[7] = 4;
    expect(mount.errno("SOCKET_BIND", ...args)).toBe(E.EPROTOTYPE);
    writeFileSync(server.path("file"), "");
    args[1] = "file";
    args[7] = 1;
    expect(mount.errno("SOCKET_BIND", ...args)).toBe(E.EEXIST);
    const readOnly = server.client(server.readOnly);
    args[1] = "other";
    expect(readOnly.errno("SOCKET_BIND", ...args)).toBe(E.EROFS);
  });

  test("once its key is closed nobody listens there, at once and for everybody", () => {
    for (const [name, type] of Object.entries(SocketType)) {
      const { key } = rig.bind(name, type);
      expect(rig.lookup(name)[Entry.RDEV]).toBe(type);
      rig.mount.ok("TWIN_CLOSE", key);
      expect(rig.lookup(name)[Entry.RDEV]).toBe(0);
    }
  });

  test("a repetition is answered as the first time, and binds nothing", () => {
    const { mount, server } = rig;
    const first = mount.ok("SOCKET_BIND", mount.root, "once", 0o755, 0, 0, 0, -1, 1);
    const { ino } = statSync(server.path("once"));
    const request = [0, mount.sequences[0] as number, Op.SOCKET_BIND];
    const args = [mount.root, "once", 0o755, 0, 0, 0, -1, 1];
    mount.frame(Kind.REQUEST, [...request, ...args]);
    expect(mount.reply(0).results).toEqual(first);
    expect(statSync(server.path("once")).ino).toBe(ino);
    const [key] = mount.ok("TWIN_OPEN", first[Entry.NODE] as number);
    mount.frame(Kind.REQUEST, [0, mount.sequences[0] as number, Op.TWIN_OPEN, first[0] as number]);
    expect(mount.reply(0).results).toEqual([key]);
  });

  test("a socket that was bound anew is the same node, in its place, as it was", async () => {
    const { node, key } = rig.bind("again");
    chownSync(rig.server.path("again"), 1234, 77);
    const before = statSync(rig.server.path("again"));
    rig.mount.ok("TWIN_CLOSE", key);
    rig.until(() => connected(rig.server.path("again")) === -E.ECONNREFUSED, "nobody listens");
    const [other] = rig.mount.ok("SOCKET_REBIND", node, SocketType.STREAM);
    expect(other).not.toBe(key);
    const after = statSync(rig.server.path("again"));
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, 1234, 77]);
    expect(after.ino).not.toBe(before.ino);
    const entry = rig.lookup("again");
    expect([entry[Entry.NODE], entry[Entry.RDEV]]).toEqual([node, SocketType.STREAM]);
    let heard: Talker | undefined;
    rig.serve((talker) => {
      heard = talker;
    });
    const client = new Talker(rig.loop, connected(rig.server.path("again")));
    expect(peerName(client.fd)).toBe(rig.server.path("again"));
    client.say("again");
    rig.until(() => String(heard?.heard) === "again", "it is heard");
    client.close();
    writeFileSync(rig.server.path("file"), "");
    const file = rig.lookup("file")[Entry.NODE] as number;
    expect(rig.mount.errno("SOCKET_REBIND", file, 1)).toBe(E.EINVAL);
  });
});

describe("keys", () => {
  test("are for sockets, FIFOs and files that may be opened so, and as many as there may be", () => {
    const { mount, server } = rig;
    writeFileSync(server.path("file"), "x");
    Bun.spawnSync(["mkfifo", server.path("fifo")]);
    const node = (name: string) => rig.lookup(name)[Entry.NODE] as number;
    expect(mount.errno("TWIN_OPEN", node("fifo"))).toBe(0);
    expect(mount.errno("TWIN_OPEN", node("file"))).toBe(E.EINVAL);
    expect(mount.errno("TWIN_OPEN", 999)).toBe(E.ESTALE);
    expect(mount.errno("PASS_OPEN", node("file"), OpenFlag.READ)).toBe(0);
    expect(mount.errno("PASS_OPEN", mount.root, OpenFlag.READ)).toBe(0);
    expect(mount.errno("PASS_OPEN", mount.root, OpenFlag.WRITE)).toBe(E.EISDIR);
    expect(mount.errno("PASS_OPEN", node("fifo"), OpenFlag.READ)).toBe(E.EINVAL);
    writeFileSync(`${server.readOnly}/file`, "x");
    const readOnly = server.client(server.readOnly);
    const [there] = readOnly.ok("LOOKUP", readOnly.root, "file");
    expect(readOnly.errno("PASS_OPEN", there as number, OpenFlag.WRITE)).toBe(E.EROFS);
    // One that is no key is closed already.
    expect(mount.errno("TWIN_CLOSE", 12345)).toBe(0);
  });

  test("of another session, or of none, lead nowhere", async () => {
    echo("service");
    const other = rig.server.client();
    const [node] = other.ok("LOOKUP", other.root, "service");
    const [foreign] = other.ok("TWIN_OPEN", node as number);
    const own = rig.key("service");
    const closed = rig.key("service");
    rig.mount.ok("TWIN_CLOSE", closed);
    const listener = rig.bind("listener").key;
    for (const key of [foreign, closed, listener, 1, 2 ** 47, "1", null, 1.5]) {
      const outcome = new Outcome();
      rig.openAs([key, SocketType.STREAM, 0, 0, [], 1], outcome);
      rig.until(() => outcome.closed, "the stream is reset");
      expect(outcome.errno).toBe(E.ESTALE);
    }
    const talker = rig.connect(own);
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "the own key is good still");
  });

  test("and what they lead to end with the mount's session", () => {
    const program = echo("service");
    const talker = rig.connect(rig.key("service"));
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "an echo comes back");
    rig.bind("mine");
    rig.mount.leave();
    rig.until(() => talker.ended || talker.errno !== 0, "the program sees the end");
    rig.until(() => program.talkers[0]?.ended === true, "the other one, too");
    rig.until(() => connected(rig.server.path("mine")) === -E.ECONNREFUSED, "nobody listens");
  });
});

test("nothing stays open of a session that has ended, nor of a key that was closed", () => {
  const { server } = rig;
  const program = echo("service");
  writeFileSync(server.path("file"), "x");
  rig.until(() => rig.link.end.connected, "the client's end is connected");
  const before = server.allDescriptors();
  const other = server.client();
  const link = rig.anotherLink(other.said.session);
  closers.push(() => link.close());
  rig.until(() => link.end.connected, "the other one, too");
  const connectedOnly = server.allDescriptors();
  const node = (name: string) => other.ok("LOOKUP", other.root, name)[0] as number;
  const [key] = other.ok("TWIN_OPEN", node("service"));
  other.ok("PASS_OPEN", node("file"), OpenFlag.READ);
  const args = [other.root, "bound", 0o755, 0, 0, 0, -1, SocketType.STREAM] as const;
  const bound = other.ok("SOCKET_BIND", ...args).at(-1) as number;
  const outcome = new Outcome();
  link.end.open(StreamKind.CONNECT, [key, SocketType.STREAM, 0, 0, [], 1], outcome);
  rig.until(() => program.talkers.length === 1, "it is connected");
  // Two keys, a socket that is bound, and one that is connected.
  rig.until(() => server.allDescriptors() >= connectedOnly + 4, "it has them all open");
  const most = server.allDescriptors();
  other.ok("TWIN_CLOSE", bound);
  other.ok("TWIN_CLOSE", key as number);
  rig.until(() => server.allDescriptors() <= most - 2, "two are closed");
  expect(outcome.errno).toBeUndefined();
  server.hangUp(other);
  rig.until(() => outcome.closed, "the stream is reset");
  rig.until(() => server.allDescriptors() <= before, "all are closed");
});

describe("a caller that lies", () => {
  test.each([
    ["no user", [-1, 0, []]],
    ["(uid_t)-1", [0xffff_ffff, 0, []]],
    ["(gid_t)-1", [0, 0xffff_ffff, []]],
    ["half a user", [0.5, 0, []]],
    ["a group that is none", [0, 0, [0xffff_ffff]]],
    ["no groups", [0, 0, 7]],
  ])("is %s: the session ends", (_, caller) => {
    const program = echo("service");
    const outcome = new Outcome();
    rig.openAs([rig.key("service"), SocketType.STREAM, ...caller, 1], outcome);
    rig.until(() => outcome.closed, "the stream is reset");
    expect(outcome.errno).toBe(E.ECONNRESET);
    expect(program.talkers.length).toBe(0);
    // What follows is a session as good as any.
    const talker = rig.connect(rig.key("service"));
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "an echo comes back");
  });
});

describe("connections end", () => {
  test("a session goes on where it was, without losing a byte", () => {
    echo("service");
    const talker = rig.connect(rig.key("service"));
    rig.until(() => rig.link.end.connected, "the client's end is connected");
    let said = "";
    for (let i = 0; i < 200; i++) {
      const text = `line ${i}\n`.repeat(1 + (i % 50));
      talker.say(text);
      said += text;
      rig.loop.turn(0);
      if (i % 20 !== 10) continue;
      rig.cut();
      if (i % 40 === 10) rig.until(() => rig.link.end.connected, "it is connected again");
    }
    rig.until(() => talker.heard.length >= said.length, "all of it comes back");
    expect(String(talker.heard)).toBe(said);
    expect(rig.link.resumes).toBeGreaterThan(3);
    expect(rig.link.losses).toBe(0);
  });

  test("one that belongs to no session of a mount is refused", () => {
    const link = rig.anotherLink("0123456789abcdef".repeat(2));
    closers.push(() => link.close());
    rig.until(() => rig.log.length > 0, "the refusal is told");
    expect(rig.log[0]).toContain("the mount's session is not known");
    expect(link.end.connected).toBe(false);
  });

  test("a client's end that is closed does not leave its streams to the lease", () => {
    const program = echo("service");
    const talker = rig.connect(rig.key("service"));
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "an echo comes back");
    const since = rig.loop.nowMs;
    rig.link.close();
    rig.until(() => program.talkers[0]?.ended === true, "the HOST's program sees the end");
    expect(rig.loop.nowMs - since).toBeLessThan(LEASE_MS / 2);
  });

  test("a client whose process for streams has died says so; keys are good for the next one", () => {
    const program = echo("service");
    const key = rig.key("service");
    const talker = rig.connect(key);
    talker.say("x");
    rig.until(() => talker.heard.length === 1, "an echo comes back");
    rig.bind("mine");
    rig.mount.ok("TWIN_CLOSE", NO_KEY);
    rig.until(() => program.talkers[0]?.ended === true, "the HOST's program sees the end");
    rig.relink();
    let heard: Talker | undefined;
    rig.serve((one) => {
      heard = one;
    });
    const client = new Talker(rig.loop, connected(rig.server.path("mine")));
    client.say("still there");
    rig.until(() => String(heard?.heard) === "still there", "it is heard");
    client.close();
    const after = rig.connect(key);
    after.say("x");
    rig.until(() => after.heard.length === 1, "an echo comes back");
  });

  test("another process of the client's has all to itself", () => {
    const program = echo("service");
    const before = rig.connect(rig.key("service"));
    before.say("x");
    rig.until(() => before.heard.length === 1, "an echo comes back");
    rig.relink();
    rig.until(() => program.talkers[0]?.ended === true, "the first one's streams end");
    const after = rig.connect(rig.key("service"));
    after.say("x");
    rig.until(() => after.heard.length === 1, "an echo comes back");
  });
});

test("the figures say what there is", async () => {
  echo("service");
  const talker = rig.connect(rig.key("service"));
  talker.say("x");
  rig.until(() => talker.heard.length === 1, "an echo comes back");
  rig.cut();
  talker.say("y");
  rig.until(() => talker.heard.length === 2, "another echo comes back");
  await until(async () => (await rig.server.snapshot()).totals.streamResumes === 1, "it is told");
  await until(async () => {
    const { totals } = await rig.server.snapshot();
    return totals.bridges === 1 && totals.streams === 1 && totals.twins === 1;
  }, "the gauges are told");
});
