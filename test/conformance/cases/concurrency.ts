/** Several processes on one file or one tree. */
import type { Actor } from "../harness/actor-client.ts";
import { area, type Run } from "../harness/case.ts";
import type { Context } from "../harness/context.ts";
import { check, equal } from "../harness/expect.ts";
import { get, make, pattern, put, text, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";
import { RECORD_BYTES, record } from "../programs/append.ts";
import { BLOCK, sealed, unsealed } from "../programs/shared.ts";

const PROCESSES = 4;
const LONG_BOUND_MS = 60_000;

function crowd(context: Context, size = PROCESSES): Promise<Actor[]> {
  return Promise.all(Array.from({ length: size }, () => context.peer()));
}

/** Each of them appends its records; none is lost, torn, or before an older one of its own. */
function appending(processes: number, records: number): Run {
  return async (context) => {
    put("log");
    const actors = await crowd(context, processes);
    await Promise.all(
      actors.map((actor, index) => actor.appendRecords("log", `w${index}`, records)),
    );
    const lines = text("log").split("\n").slice(0, -1);
    equal(p.stat("log").size, processes * records * RECORD_BYTES, "size");
    for (let index = 0; index < processes; index++) {
      const own = lines.filter((line) => line.startsWith(`w${index} `));
      const expected = Array.from({ length: records }, (_, number) =>
        record(`w${index}`, number).trimEnd(),
      );
      equal(own, expected, `records of writer ${index}`);
    }
  };
}

/** All count in one file under a lock; no count is lost. */
function counting(kind: "flock" | "posix" | "name"): Run {
  return async (context) => {
    put("counter", "0");
    const actors = await crowd(context);
    await Promise.all(actors.map((actor) => actor.count("counter", 100, kind)));
    equal(text("counter"), String(PROCESSES * 100), "count");
  };
}

/** Two readers behind one writer of blocks. */
async function following(context: Context) {
  put("f");
  const [writer, ...readers] = await crowd(context, 3);
  const reading = readers.map((reader) => reader.followBlocks("f", 200));
  await writer?.appendBlocks("f", 200);
  return Promise.all(reading);
}

/** Every entry answers to stat, inode and link counts agree, and all can be removed. */
function isConsistent(directories: string[]): void {
  const links = new Map<bigint, number>();
  for (const directory of directories) {
    let below = 0;
    for (const entry of p.entries(directory)) {
      const path = `${directory}/${entry.name}`;
      const found = p.lstat(path);
      equal(found.ino, entry.ino, `inode of ${path}`);
      if ((found.mode & p.S_IFMT) === p.S_IFDIR) below++;
      else links.set(found.ino, (links.get(found.ino) ?? 0) + 1);
    }
    equal(p.stat(directory).nlink, below + 2, `links of ${directory}`);
  }
  for (const directory of directories) {
    for (const entry of p.entries(directory)) {
      const path = `${directory}/${entry.name}`;
      if (typeOf(path) === p.S_IFDIR) p.rmdir(path);
      else {
        const found = p.lstat(path);
        equal(found.nlink, links.get(found.ino) ?? 0, `links of ${path}`);
        links.set(found.ino, found.nlink - 1);
        p.unlink(path);
      }
    }
    p.rmdir(directory);
  }
}

export const cases = area("concurrency", {
  "append-from-two": appending(2, 300),
  "append-from-four": { run: appending(4, 250), boundMs: LONG_BOUND_MS },
  "count-under-flock": { run: counting("flock"), boundMs: LONG_BOUND_MS },
  "count-under-posix-lock": { run: counting("posix"), boundMs: LONG_BOUND_MS },
  "count-under-lock-file": { run: counting("name"), boundMs: LONG_BOUND_MS },
  "readers-follow-a-writer": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      const followed = await following(context);
      equal(
        followed.map(({ wrong }) => wrong),
        [-1, -1],
        "first wrong block of each reader",
      );
    },
  },
  "size-that-fstat-tells-can-be-read": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      const followed = await following(context);
      equal(
        followed.map(({ short }) => short),
        [0, 0],
        "short readings of each reader",
      );
    },
  },
  "readers-of-a-locked-block": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      put("f", sealed(0));
      const [writer, ...readers] = await crowd(context, 3);
      const watching = readers.map((reader) => reader.watchBlock("f", 200));
      await writer?.overwriteBlock("f", 200);
      equal(await Promise.all(watching), [0, 0], "wrong readings of each reader");
      equal(unsealed(get("f")), 200, "last block");
    },
  },
  "replaced-file-is-always-whole": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      put("f", sealed(0));
      const [writer, ...readers] = await crowd(context, 3);
      const reading = readers.map((reader) => reader.readReplaced("f", 250));
      await writer?.replaceFile("f", 150);
      equal(await Promise.all(reading), [0, 0], "wrong readings of each reader");
      equal(p.list("."), ["f"], "entries");
    },
  },
  "exchanged-names-are-always-there": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      put("a", "A");
      put("b", "B");
      const [swapper, ...readers] = await crowd(context, 3);
      const reading = readers.map((reader) => reader.readExchanged("a", "b", 200));
      await swapper?.exchange("a", "b", 150);
      equal(await Promise.all(reading), [0, 0], "what was missing for each reader");
      equal([text("a"), text("b")], ["A", "B"], "contents");
    },
  },
  "tree-stays-consistent": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      const directories = ["a", "b", "c"];
      for (const directory of directories) p.mkdir(directory);
      const actors = await crowd(context);
      await Promise.all(actors.map((actor, index) => actor.scramble(directories, index + 1, 600)));
      isConsistent(directories);
    },
  },
  "two-scramble-one-directory": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      p.mkdir("d");
      const actors = await crowd(context, 2);
      await Promise.all(actors.map((actor, index) => actor.scramble(["d"], index + 77, 1500)));
      isConsistent(["d"]);
    },
  },
  "pieces-of-four-writers": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      const pieces = 400;
      make("f");
      const actors = await crowd(context);
      await Promise.all(
        actors.map((actor, index) => actor.fillPieces("f", index, PROCESSES, pieces)),
      );
      equal(get("f"), pattern(pieces * 1000), "content");
    },
  },
  "halves-of-one-page-by-two-mappings": async (context) => {
    const fd = make("f", pattern(BLOCK));
    const map = p.mmap(fd, BLOCK, p.PROT_READ | p.PROT_WRITE, p.MAP_SHARED);
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDWR);
    const theirs = await peer.mmap(other, BLOCK, p.PROT_READ | p.PROT_WRITE, p.MAP_SHARED);
    for (let round = 0; round < 50; round++) {
      const poking = peer.poke(theirs + 2048 + round * 8, `t${round}`.padEnd(8));
      p.poke(map + round * 8, `m${round}`.padEnd(8));
      await poking;
    }
    const all = p.pread(fd, BLOCK, 0).toString("latin1");
    for (let round = 0; round < 50; round++) {
      equal(all.slice(round * 8, round * 8 + 8), `m${round}`.padEnd(8), "own half");
      const at = 2048 + round * 8;
      equal(all.slice(at, at + 8), `t${round}`.padEnd(8), "the peer's half");
    }
  },
  "stat-while-growing-never-shrinks": {
    boundMs: LONG_BOUND_MS,
    run: async (context) => {
      put("f");
      const peer = await context.peer();
      const writing = peer.appendBlocks("f", 200);
      let last = 0;
      while (last < 200 * BLOCK) {
        const { size } = p.stat("f");
        check(size >= last, `the size went from ${last} back to ${size}`);
        last = size;
        await Bun.sleep(1);
      }
      await writing;
    },
  },
});
