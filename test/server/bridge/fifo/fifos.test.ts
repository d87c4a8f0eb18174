/** The server's end of a FIFO's stream, where the kernel waits for others (io_uring) and where it does not. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { encode } from "cbor-x/encode";
import { FifoLine } from "../../../../src/bridge/fifoline.ts";
import { holds as heldBy, identityOf } from "../../../../src/bridge/holders.ts";
import { Loop } from "../../../../src/bridge/loop.ts";
import { hasWriters, takeAll } from "../../../../src/bridge/pipeends.ts";
import { callText, openCall } from "../../../../src/client/twins/fifo/opencall.ts";
import { HostFifos } from "../../../../src/server/bridge/fifo/fifos.ts";
import { ARCH } from "../../../../src/sys/arch.ts";
import { cstring } from "../../../../src/sys/cstring.ts";
import { EPOLLIN } from "../../../../src/sys/epoll.ts";
import { E } from "../../../../src/sys/errno.ts";
import { write } from "../../../../src/sys/io.ts";
import { allocate } from "../../../../src/sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
} from "../../../../src/sys/open.ts";
import { drainEventfd, eventfd, signalEventfd } from "../../../../src/sys/poll.ts";
import { S_IFIFO } from "../../../../src/sys/stat.ts";
import { mknodat } from "../../../../src/sys/tree.ts";
import { ProtocolError } from "../../../../src/wire/error.ts";
import { decodePlain } from "../../../../src/wire/plain.ts";
import { FifoWord, StreamKind } from "../../../../src/wire/streams.ts";
import { Pair } from "../../../session/pair.ts";
import { ok } from "../../../sys/support.ts";

const BOUND_MS = 10_000;
const names = new Map<number, string>(Object.entries(FifoWord).map(([name, word]) => [word, name]));
const directory = mkdtempSync(`${tmpdir()}/fifos-`);
afterAll(() => rmSync(directory, { recursive: true }));
const bytes = allocate(4096);
let serial = 0;

describe.each([
  ["the kernel waits", true],
  ["it is looked now and then", false],
])("%s", (_, isAsync) => {
  const opened: (() => void)[] = [];
  afterEach(() => {
    for (const undo of opened.splice(0).reverse()) undo();
  });

  /** A FIFO, a stream to it, and what came by that. */
  function stage() {
    const path = `${directory}/${serial++}`;
    ok(mknodat(AT_FDCWD, cstring(path), S_IFIFO | 0o600, 0));
    const key = ok(openat(AT_FDCWD, cstring(path), O_PATH, 0));
    const loop = new Loop();
    const fifos = new HostFifos(loop, () => {}, isAsync);
    const take = fifos.taker((asked) => (asked === 7 ? key : undefined));
    const pair = new Pair((stream, _kind, description) => {
      const items = decodePlain(description);
      return take(stream, Array.isArray(items) ? items : []);
    }, 1 << 20);
    opened.push(() => {
      fifos.close();
      pair.close();
      loop.close();
      close(key);
    });
    const came: string[] = [];
    const telling = (told: string[]) => {
      const line: FifoLine = new FifoLine({
        onWord: (word) => told.push(names.get(word) ?? `${word}`),
        onBytes: (data) => {
          told.push(String(Buffer.from(data)));
          line.consumed(data.length);
        },
        onRoom: () => {},
        onGone: (errno) => told.push(`gone ${errno}`),
      });
      return line;
    };
    const line = telling(came);
    const dial = (number = 7, by = line) => {
      const stream = pair.client.streams.open(StreamKind.FIFO, encode([number]), by);
      if (stream !== undefined) by.start(stream);
    };
    const turn = () => {
      pair.settle();
      loop.turn(1);
      pair.settle();
    };
    /** Waits until the words and data that came are `expected`. */
    const hearsOf = (told: string[], expected: string[]) => {
      const endMs = performance.now() + BOUND_MS;
      while (told.length < expected.length && performance.now() < endMs) turn();
      for (let i = 0; i < 3; i++) turn();
      expect(told.splice(0)).toEqual(expected);
    };
    const hears = (...expected: string[]) => hearsOf(came, expected);
    /** Another client with a stream to it. */
    const another = () => {
      const told: string[] = [];
      const by = telling(told);
      dial(7, by);
      return { line: by, hears: (...expected: string[]) => hearsOf(told, expected) };
    };
    const open = (flags: number) => openat(AT_FDCWD, cstring(path), flags | O_NONBLOCK, 0);
    const put = (fd: number, text: string) =>
      write(fd, bytes.address, bytes.bytes.latin1Write(text, 0));
    /** Opens it until that gives `errno`, or else a descriptor. */
    const opens = (flags: number, errno = 0) => {
      const endMs = performance.now() + BOUND_MS;
      for (;;) {
        const fd = open(flags);
        if (errno === 0 ? fd >= 0 : fd === -errno) return fd;
        if (fd >= 0) close(fd);
        if (performance.now() > endMs) throw new Error(`open gave ${fd}`);
        turn();
      }
    };
    dial();
    /** Another process does that with it. */
    const run = (script: string) => {
      const child = Bun.spawn(["sh", "-c", `exec 3${script} sleep 1000`, "sh", path]);
      opened.push(() => child.kill("SIGKILL"));
      return child;
    };
    const holds = (pid: number) => heldBy(pid, identityOf(key) ?? "");
    return { line, loop, pair, hears, another, open, opens, put, turn, fifos, came, run, holds };
  }

  test("reads for others: writers come, write and leave", () => {
    const { line, hears, opens, put } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    for (const text of ["one", "two"]) {
      const writer = opens(O_WRONLY);
      hears("WRITERS");
      put(writer, text);
      hears(text);
      close(writer);
      hears("NO_WRITERS");
    }
  });

  test("a writer that comes, writes and leaves at once is not missed", () => {
    const { line, hears, opens, put } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    for (let i = 0; i < 20; i++) {
      const writer = opens(O_WRONLY);
      put(writer, `${i}`);
      close(writer);
      hears("WRITERS", `${i}`, "NO_WRITERS");
    }
  });

  test.each([
    ["a writer", FifoWord.READ, O_WRONLY, ["NO_WRITERS", "WRITERS", "other"]],
    ["a reader", FifoWord.WRITE, O_RDONLY, ["NO_READERS", "READERS", "other"]],
  ])("that %s has come is told before what it does then", (_, word, flags, expected) => {
    const { came, hears, line, loop, opens, pair, turn } = stage();
    const other = ok(eventfd());
    loop.add(other, EPOLLIN, {
      onEvents: () => {
        drainEventfd(other);
        pair.settle();
        came.push("other");
      },
    });
    line.say(word);
    while (came.length === 0) turn();
    // The thread that waits in the kernel is on its way there.
    for (let i = 0; i < 20; i++) turn();
    const fd = opens(flags);
    signalEventfd(other);
    hears(...expected);
    close(fd);
    loop.remove(other);
    close(other);
  });

  test("a writer is there already, with data", () => {
    const { line, hears, open, put } = stage();
    const reader = ok(open(O_RDONLY));
    const writer = ok(open(O_WRONLY));
    put(writer, "early");
    line.say(FifoWord.READ);
    hears("WRITERS", "early");
    for (const fd of [reader, writer]) close(fd);
    hears("NO_WRITERS");
  });

  test("lets go: nobody reads then, and what was not read is back", () => {
    const { line, hears, opens, open, put } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    const writer = opens(O_WRONLY);
    put(writer, "unread");
    hears("WRITERS", "unread");
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
    line.send(Buffer.from("read"));
    line.say(FifoWord.GIVEN);
    opens(O_WRONLY, E.ENXIO);
    const reader = ok(open(O_RDONLY));
    expect(String(Buffer.concat(takeAll(reader)))).toBe("read");
    for (const fd of [reader, writer]) close(fd);
  });

  test("writes when somebody reads, and hears when nobody does any more", () => {
    const { line, hears, open } = stage();
    line.say(FifoWord.WRITE);
    hears("NO_READERS");
    for (const text of ["one", "two"]) {
      const reader = ok(open(O_RDONLY));
      hears("READERS");
      line.send(Buffer.from(text));
      hears();
      expect(String(Buffer.concat(takeAll(reader)))).toBe(text);
      close(reader);
      hears("NO_READERS");
    }
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
  });

  test("what came when nobody reads any more lets no writer of the HOST's in", () => {
    const { line, hears, holds, open, run, turn } = stage();
    const reader = ok(open(O_RDONLY));
    line.say(FifoWord.WRITE);
    hears("READERS");
    close(reader);
    hears("NO_READERS");
    const writer = run('>"$1"');
    const endMs = performance.now() + BOUND_MS;
    const isWaiting = () => openCall(callText(writer.pid), ARCH, () => undefined)?.writes === true;
    while (!isWaiting() && performance.now() < endMs) turn();
    line.send(Buffer.from("late"));
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
    for (let i = 0; i < 50; i++) {
      turn();
      expect(holds(writer.pid).writes).toBe(false);
    }
  });

  test("tries: nobody, or somebody who reads", () => {
    const { line, hears, open, opens } = stage();
    line.say(FifoWord.TRY);
    hears("NOBODY");
    const reader = ok(open(O_RDONLY));
    line.say(FifoWord.TRY);
    hears("TAKEN");
    line.send(Buffer.from("data"));
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
    expect(String(Buffer.concat(takeAll(reader)))).toBe("data");
    close(reader);
    opens(O_WRONLY, E.ENXIO);
  });

  test("tries while it reads: goes on reading, or writes", () => {
    const { line, hears, open } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("NOBODY");
    const reader = ok(open(O_RDONLY));
    line.say(FifoWord.TRY);
    hears("TAKEN");
    close(reader);
    hears("NO_READERS");
  });

  test("while both ends are on the DPU, readers and writers come and find both open", () => {
    const { line, hears, run } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("NOBODY");
    run('<"$1"');
    hears("READERS");
    line.say(FifoWord.TRY);
    hears("TAKEN");
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
  });

  test("while both ends are on a DPU, it is told that another one reads, and what it writes goes there", () => {
    const { another, hears, line } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("NOBODY");
    const other = another();
    other.line.say(FifoWord.READ);
    hears("READERS");
    line.say(FifoWord.TRY);
    hears("TAKEN");
    line.send(Buffer.from("data"));
    other.hears("WRITERS", "data");
    line.say(FifoWord.RELEASE);
    hears("RELEASED");
    other.hears("NO_WRITERS");
  });

  test("while both ends are on the DPU, a writer comes", () => {
    const { line, hears, run } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("NOBODY");
    const writer = run('>"$1"');
    hears("WRITERS");
    writer.kill("SIGKILL");
    hears("NO_WRITERS");
  });

  test("both ends are on the DPU, and on the HOST: who writes first decides", () => {
    for (const isHost of [true, false]) {
      const { line, hears, holds, open, put, run, turn } = stage();
      line.say(FifoWord.READ);
      hears("NO_WRITERS");
      line.say(FifoWord.TRY);
      hears("NOBODY");
      const both = run('<>"$1"');
      const endMs = performance.now() + BOUND_MS;
      while (!holds(both.pid).writes && performance.now() < endMs) turn();
      hears();
      if (isHost) {
        const writer = ok(open(O_WRONLY));
        put(writer, "data");
        hears("WRITERS", "data");
        close(writer);
      } else {
        line.say(FifoWord.TRY);
        hears("TAKEN");
      }
    }
  });

  test("both ends were on the DPU, and only the reading one is left", () => {
    const { line, hears, open } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("NOBODY");
    const reader = ok(open(O_RDONLY));
    expect(hasWriters(reader)).toBe(true);
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    expect(hasWriters(reader)).toBe(false);
    close(reader);
  });

  test("what a former writer has left is no writer", () => {
    const { line, hears, open, put } = stage();
    const reader = ok(open(O_RDONLY));
    const writer = ok(open(O_WRONLY));
    put(writer, "left");
    close(writer);
    line.say(FifoWord.READ);
    // Where the kernel does not wait, nothing tells the two apart before the data is read.
    if (isAsync) hears("NO_WRITERS");
    else hears("WRITERS", "left", "NO_WRITERS");
    line.say(FifoWord.TRY);
    hears("TAKEN");
    close(reader);
    hears("NO_READERS");
  });

  test("nothing is left open when the stream ends", () => {
    const { line, hears, opens, fifos, turn } = stage();
    line.say(FifoWord.READ);
    hears("NO_WRITERS");
    expect(fifos.figures.length).toBe(1);
    line.end();
    opens(O_WRONLY, E.ENXIO);
    for (let i = 0; i < 5; i++) turn();
    expect(fifos.figures).toEqual([]);
  });

  test("words out of place are the peer's fault", () => {
    for (const word of [FifoWord.GIVEN, FifoWord.RELEASE, FifoWord.WRITERS, 99]) {
      const { line, pair } = stage();
      expect(() => {
        line.say(word);
        pair.settle();
      }).toThrow(ProtocolError);
    }
  });

  test("hundreds that wait, each for its own", () => {
    const stages = Array.from({ length: 300 }, () => stage());
    for (const { line, hears } of stages) {
      line.say(FifoWord.WRITE);
      hears("NO_READERS");
    }
    for (const { hears, open } of stages) {
      const reader = ok(open(O_RDONLY));
      hears("READERS");
      close(reader);
    }
  }, 60_000);
});

test("a stream without a proper key is refused", () => {
  const loop = new Loop();
  const fifos = new HostFifos(loop, () => {});
  const pair = new Pair((stream) => fifos.taker(() => undefined)(stream, [1]));
  let errno = 0;
  const line = new FifoLine({
    onWord: () => {},
    onBytes: () => {},
    onRoom: () => {},
    onGone: (given) => {
      errno = given;
    },
  });
  pair.client.streams.open(StreamKind.FIFO, encode([1]), line);
  pair.settle();
  expect(errno).toBe(E.ESTALE);
  fifos.close();
  pair.close();
  loop.close();
});
