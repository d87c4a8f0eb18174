/** Descriptors that are passed from one side of a bridge to the other, of every kind. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "cbor-x/encode";
import { BytePump, Shape } from "../../../src/bridge/pumpbytes.ts";
import { MessagePump } from "../../../src/bridge/pumpmessages.ts";
import { flagsOfPassed } from "../../../src/bridge/rights/flags.ts";
import { Item } from "../../../src/bridge/rights/passed.ts";
import { Rights } from "../../../src/bridge/rights/rights.ts";
import type { ShareFiles } from "../../../src/bridge/rights/share.ts";
import type { Accept, Streams } from "../../../src/session/streams.ts";
import { cstring } from "../../../src/sys/cstring.ts";
import { E } from "../../../src/sys/errno.ts";
import { lseek, SEEK_CUR, SEEK_SET } from "../../../src/sys/io.ts";
import {
  AT_FDCWD,
  close,
  F_ADD_SEALS,
  F_GET_SEALS,
  F_GETFL,
  fcntlInt,
  O_APPEND,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  openat,
} from "../../../src/sys/open.ts";
import { EFD_NONBLOCK, EFD_SEMAPHORE, eventfd } from "../../../src/sys/poll.ts";
import { memfdCreateSealable } from "../../../src/sys/sharedmemory.ts";
import { listenUnix, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "../../../src/sys/socket.ts";
import { S_IFIFO } from "../../../src/sys/stat.ts";
import { mknodat } from "../../../src/sys/tree.ts";
import { ProtocolError } from "../../../src/wire/error.ts";
import { decodePlain } from "../../../src/wire/plain.ts";
import { StreamKind } from "../../../src/wire/streams.ts";
import { Recorder } from "../../session/pair.ts";
import { random, seedFor } from "../../support/random.ts";
import { ok } from "../../sys/support.ts";
import { BridgePair, get, pattern, pipe, put, sockets } from "../pair.ts";
import { getMessage, putMessage } from "../programs.ts";

const SEED = seedFor("rights");

let pair: BridgePair;
let before: number;
let directory: string;
let log: string[];
const openFds = () => readdirSync("/proc/self/fd").length;

/** A share whose files both sides reach by their paths. */
const share: ShareFiles = {
  describe: (fd, _, done) => {
    const path = linkOf(fd);
    const found = path.startsWith(directory) ? [path] : undefined;
    pair.loop.after(3, () => done(found));
  },
  open: ([path], flags, done) => {
    const fd = openat(AT_FDCWD, cstring(String(path)), flagsOfPassed(flags) | O_CLOEXEC, 0);
    pair.loop.after(3, () => done(fd));
  },
  close: (fd) => close(fd),
};

function linkOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "qtfs-rights-"));
  before = openFds();
  pair = new BridgePair();
  log = [];
});

afterEach(() => {
  pair.close();
  rmSync(directory, { recursive: true });
  expect(openFds()).toBe(before);
});

/** A Rights over one end's streams. */
function rightsOf(streams: Streams): Rights {
  const waiting: (() => void)[] = [];
  pair.loop.beforeSleep(() => {
    for (const fn of waiting.splice(0)) fn();
    return false;
  });
  return new Rights({
    loop: pair.loop,
    share,
    log: (text) => log.push(text),
    opener: {
      open: (kind, description, handler) => streams.open(kind, encode(description), handler),
      whenRoom: (fn) => waiting.push(fn),
    },
  });
}

/** Two programs with sockets of `type`, joined. */
function joined(type = SOCK_STREAM) {
  const [client, server] = [rightsOf(pair.client.streams), rightsOf(pair.server.streams)];
  const [a, fdA] = sockets(type);
  const [b, fdB] = sockets(type);
  const pump = (fd: number, rights: Rights) => {
    const ancillary = rights.carrier("a test");
    return type === SOCK_STREAM
      ? new BytePump({ loop: pair.loop, fd, shape: Shape.SOCKET, ancillary })
      : new MessagePump({ loop: pair.loop, fd, type, ancillary });
  };
  pair.join(pump(fdA, client), pump(fdB, server));
  const takers = new Map([
    [0, client],
    [1, server],
  ]);
  const accept: Accept = (stream, kind, description) => {
    if (kind !== StreamKind.DESCRIPTOR) return E.EPROTO;
    // Odd ones are the client's, for the server.
    const rights = takers.get(stream.id % 2) as Rights;
    return rights.take(stream, decodePlain(description) as unknown[]);
  };
  pair.accept = accept;
  const done = () => {
    close(a);
    close(b);
    pair.settle();
    client.close();
    server.close();
  };
  return { a, b, done };
}

/** What arrives at `to` when `fds` are sent from `from`; they stay open here. */
function pass(from: number, to: number, fds: readonly number[], text = "x"): number[] {
  expect(putMessage(from, text, { fds })).toBe(Buffer.byteLength(text));
  let got = getMessage(to);
  pair.until(() => {
    if (got.n < 0) got = getMessage(to);
    return got.n >= 0;
  });
  expect(got.text).toBe(text);
  return got.fds;
}

/** The only one that arrives. */
function passOne(from: number, to: number, fd: number): number {
  const fds = pass(from, to, [fd]);
  expect(fds).toHaveLength(1);
  return fds[0] as number;
}

/** Waits for `text` at `fd`. */
function expectText(fd: number, text: string): void {
  let have = "";
  pair.until(() => {
    const got = get(fd);
    if (typeof got !== "number") have += got;
    return have.length >= text.length;
  });
  expect(have).toBe(text);
}

function closeEach(...fds: number[]): void {
  for (const fd of fds) close(fd);
}

for (const [from, direction] of ["to the server", "to the client"].entries()) {
  const ends = (of: { a: number; b: number }): [number, number] =>
    from === 0 ? [of.a, of.b] : [of.b, of.a];

  describe(direction, () => {
    test("the end of a pipe that is read", () => {
      const both = joined();
      const [reader, writer] = pipe();
      const there = passOne(...ends(both), reader);
      close(reader);
      put(writer, Buffer.from("through the pipe"));
      expectText(there, "through the pipe");
      close(writer);
      pair.settle();
      expect(get(there)).toBe(0);
      close(there);
      both.done();
    });

    test("the end of a pipe that is written", () => {
      const both = joined();
      const [reader, writer] = pipe();
      const there = passOne(...ends(both), writer);
      close(writer);
      put(there, Buffer.from("back"));
      expectText(reader, "back");
      close(there);
      pair.settle();
      expect(get(reader)).toBe(0);
      const [again, other] = pipe();
      const third = passOne(...ends(both), other);
      closeEach(other, again);
      pair.settle();
      expect(put(third, Buffer.from("x"))).toBe(-E.EPIPE);
      closeEach(third, reader);
      both.done();
    });

    test("an end of a socketpair, which passes descriptors itself", () => {
      const both = joined();
      const [mine, given] = sockets();
      const there = passOne(...ends(both), given);
      close(given);
      put(mine, Buffer.from("to"));
      expectText(there, "to");
      put(there, Buffer.from("fro"));
      expectText(mine, "fro");
      const [reader, writer] = pipe();
      const inner = passOne(there, mine, reader);
      put(writer, Buffer.from("inner"));
      expectText(inner, "inner");
      close(mine);
      pair.settle();
      expect(get(there)).toBe(0);
      closeEach(there, reader, writer, inner);
      both.done();
    });

    test("sockets that keep messages apart", () => {
      const both = joined();
      for (const type of [SOCK_SEQPACKET, SOCK_DGRAM]) {
        const [mine, given] = sockets(type);
        const there = passOne(...ends(both), given);
        close(given);
        put(mine, Buffer.from("one"));
        put(mine, Buffer.from("two"));
        pair.settle();
        expect([String(get(there)), String(get(there))]).toEqual(["one", "two"]);
        closeEach(mine, there);
      }
      both.done();
    });

    test("files and directories of the share, with flags and offset", () => {
      const both = joined();
      const path = join(directory, "file");
      writeFileSync(path, "0123456789");
      const fd = openSync(path, "a+");
      lseek(fd, 4, SEEK_SET);
      const [file, folder] = pass(...ends(both), [fd, openFolder()]) as [number, number];
      expect(linkOf(file)).toBe(path);
      expect(linkOf(folder)).toBe(directory);
      expect(lseek(file, 0, SEEK_CUR)).toBe(4);
      expect(fcntlInt(file, F_GETFL) & (O_APPEND | O_RDWR)).toBe(O_APPEND | O_RDWR);
      closeEach(fd, file, folder, ...folders.splice(0));
      both.done();
    });

    test("a file in memory, with its bytes, seals and offset", () => {
      const both = joined();
      const fd = ok(memfdCreateSealable(cstring("test")));
      const data = pattern(700_000);
      writeFileSync(fd, data);
      const seals = 0x1 | 0x2 | 0x4 | 0x8;
      ok(fcntlInt(fd, F_ADD_SEALS, seals));
      lseek(fd, 17, SEEK_SET);
      const there = passOne(...ends(both), fd);
      expect(fcntlInt(there, F_GET_SEALS)).toBe(seals);
      expect(lseek(there, 0, SEEK_CUR)).toBe(17);
      lseek(there, 0, SEEK_SET);
      expect(readFileSync(there).equals(data)).toBe(true);
      closeEach(fd, there);
      both.done();
    });

    test("a file without a name that is only read, by its bytes", () => {
      const both = joined();
      const path = join(tmpdir(), `qtfs-nameless-${process.pid}`);
      writeFileSync(path, "no name");
      const fd = openSync(path, "r");
      rmSync(path);
      const there = passOne(...ends(both), fd);
      expect(readFileSync(there, "latin1")).toBe("no name");
      expect(fcntlInt(there, F_GETFL) & O_RDWR).toBe(0);
      closeEach(fd, there);
      both.done();
    });

    test("event counters, to whoever waits for them", () => {
      const both = joined();
      const [send, receive] = ends(both);
      const mine = ok(eventfd());
      const there = passOne(send, receive, mine);
      for (let i = 1; i <= 3; i++) put(mine, count(i));
      let sum = 0;
      pair.until(() => {
        const got = get(there);
        if (typeof got !== "number") sum += Number(got.readBigUInt64LE());
        return sum === 6;
      });
      // The other way: who gets it adds to it first.
      const other = ok(eventfd(EFD_SEMAPHORE | EFD_NONBLOCK));
      const given = passOne(send, receive, other);
      put(given, count(2));
      pair.settle();
      expect([get(other), get(other)].map(String)).toEqual([count(1), count(1)].map(String));
      expect(get(other)).toBe(-E.EAGAIN);
      // And back, as often as they like.
      for (let i = 2; i < 6; i++) {
        put(mine, count(i));
        expectCount(there, i);
        put(there, count(i * i));
        expectCount(mine, i * i);
      }
      closeEach(mine, there, other, given);
      both.done();
    });

    test("devices that are the same everywhere", () => {
      const both = joined();
      const devices = ["null", "zero", "full", "random", "urandom"];
      const fds = devices.map((name) => openSync(`/dev/${name}`, "r"));
      const there = pass(...ends(both), fds);
      expect(there.map(linkOf)).toEqual(devices.map((name) => `/dev/${name}`));
      closeEach(...fds, ...there);
      both.done();
    });

    test("all kinds in one message stay in their order", () => {
      const both = joined();
      const fds = Array.from({ length: 60 }, (_, i) => {
        if (i % 3 === 0) return openSync("/dev/null", "r");
        if (i % 3 === 1) return openFolder();
        const fd = ok(memfdCreateSealable(cstring("many")));
        writeFileSync(fd, `${i}`);
        return fd;
      });
      folders.splice(0);
      const there = pass(...ends(both), fds);
      expect(there).toHaveLength(60);
      for (const [i, fd] of there.entries()) {
        if (i % 3 === 0) expect(linkOf(fd)).toBe("/dev/null");
        else if (i % 3 === 1) expect(linkOf(fd)).toBe(directory);
        else {
          lseek(fd, 0, SEEK_SET);
          expect(readFileSync(fd, "latin1")).toBe(`${i}`);
        }
      }
      closeEach(...fds, ...there);
      both.done();
    });
  });
}

const folders: number[] = [];

function openFolder(): number {
  const fd = openSync(directory, "r");
  folders.push(fd);
  return fd;
}

/** Waits for that number at an event counter. */
function expectCount(fd: number, n: number): void {
  let sum = 0;
  pair.until(() => {
    const got = get(fd);
    if (typeof got !== "number") sum += Number(got.readBigUInt64LE());
    return sum >= n;
  });
  expect(sum).toBe(n);
}

function count(n: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(n));
  return bytes;
}

test("flags of those that are made anew are as they were", () => {
  const { a, b, done } = joined();
  const [reader, writer] = pipe();
  const [mine, given] = sockets();
  fcntlInt(given, 4, O_RDWR);
  const fds = pass(a, b, [reader, writer, given]);
  const flags = fds.map((fd) => fcntlInt(fd, F_GETFL) & O_NONBLOCK);
  expect(flags).toEqual([O_NONBLOCK, O_NONBLOCK, 0]);
  closeEach(reader, writer, mine, given, ...fds);
  done();
});

test.each<[string, () => number[]]>([
  ["a file that is not on the share", () => [openSync("/etc/passwd", "r")]],
  ["a listening socket", () => [ok(listenUnix(join(directory, "socket"), 0o600, 5))]],
  [
    "a FIFO that is open both ways",
    () => {
      const path = join(directory, "fifo");
      ok(mknodat(AT_FDCWD, cstring(path), S_IFIFO | 0o600, 0));
      return [openat(AT_FDCWD, cstring(path), O_RDWR | O_CLOEXEC, 0)];
    },
  ],
  [
    "one among others that could",
    () => {
      const [reader, writer] = pipe();
      return [reader, openSync("/dev/null", "r"), openSync("/etc/passwd", "r"), writer];
    },
  ],
])("%s costs the connection, and is told of", (_, make) => {
  const { a, b, done } = joined();
  const fds = make();
  putMessage(a, "before", {});
  putMessage(a, "x", { fds });
  closeEach(...fds);
  let got: Buffer | number = -1;
  pair.until(() => {
    got = get(b);
    return got === 0 || got === -E.ECONNRESET;
  });
  expect(put(a, Buffer.from("x"))).toBe(-E.EPIPE);
  expect(log).toHaveLength(1);
  expect(log[0]).toContain("cannot be passed over a test: the connection is reset");
  done();
});

test(`a hostile peer's messages are refused, and open nothing (${SEED})`, () => {
  const rng = random(SEED);
  const rights = rightsOf(pair.client.streams);
  const carrier = rights.carrier("a hostile peer");
  const numbers = [-1, 0, 1, 2, 3, 5, 253, 2 ** 40, 2 ** 60, 0.5];
  const values = () => rng.pick([...numbers, "text", Buffer.from("/etc/passwd"), [], null]);
  const device = [Item.DEVICE, 1, 3];
  for (let round = 0; round < 2000; round++) {
    const item = Array.from({ length: rng.below(6) }, values);
    const items = rng.chance(0.3) ? [device, item, device] : [item];
    const packed = rng.chance(0.1) ? rng.bytes(rng.below(40)) : encode(items);
    try {
      carrier.unpack(packed, (fds) => {
        if (typeof fds !== "number") closeEach(...fds);
      });
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
    }
  }
  pair.accept = () => new Recorder();
  for (let round = 0; round < 500; round++) {
    const stream = pair.client.streams.open(1, Buffer.alloc(0), new Recorder());
    if (stream === undefined) {
      pair.settle();
      continue;
    }
    const items = [round, 1 + rng.below(7), rng.below(600), ...Array.from({ length: 3 }, values)];
    if (rng.chance(0.2)) items[rng.below(items.length)] = values() as number;
    try {
      const taken = rights.take(stream, items);
      if (typeof taken !== "number") stream.handler = taken;
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
    }
  }
  carrier.close();
  pair.settle();
  rights.close();
});

test("what nobody has received ends with the connection", () => {
  const { a, b, done } = joined();
  const [reader, writer] = pipe();
  putMessage(a, "x", { fds: [reader] });
  close(reader);
  pair.settle();
  close(b);
  pair.settle();
  pair.until(() => put(writer, Buffer.from("x")) === -E.EPIPE);
  close(writer);
  closeEach(a);
  done();
});

test("a session that is lost ends all that was passed", () => {
  const { a, b, done } = joined();
  const [reader, writer] = pipe();
  const [mine, given] = sockets();
  const [there, other] = pass(a, b, [reader, given]) as [number, number];
  closeEach(reader, given);
  pair.client.close(E.ECONNRESET);
  pair.settle();
  expect([get(there), get(other), get(mine)]).toEqual([0, 0, 0]);
  expect(put(writer, Buffer.from("x"))).toBe(-E.EPIPE);
  closeEach(writer, there, mine, other);
  done();
});

test("with messages of other sockets, too", () => {
  const { a, b, done } = joined(SOCK_SEQPACKET);
  const [reader, writer] = pipe();
  const there = passOne(a, b, reader);
  put(writer, Buffer.from("hello"));
  expectText(there, "hello");
  const device = openSync("/dev/null", "r");
  const again = pass(a, b, [device], "");
  expect(again).toHaveLength(1);
  closeEach(reader, writer, there, device, ...again);
  done();
});
