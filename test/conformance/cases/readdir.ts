/** getdents64(2), telldir and seekdir positions. */
import { area } from "../harness/case.ts";
import { check, equal, refuses } from "../harness/expect.ts";
import { put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const DIRECTORY = p.O_RDONLY | p.O_DIRECTORY;

function fill(count: number): string[] {
  const names = Array.from({ length: count }, (_, index) => `entry-${index}`);
  for (const name of names) p.mknod(name, p.S_IFREG | 0o644);
  return names;
}

function namesOf(entries: p.Entry[]): string[] {
  return entries.map((entry) => entry.name.toString());
}

export const cases = area("readdir", {
  empty: () => {
    p.mkdir("d");
    const fd = p.open("d", DIRECTORY);
    equal(namesOf(p.readAll(fd)).sort(), [".", ".."], "entries");
    equal(p.getdents(fd), [], "entries at the end");
  },
  "dot-entries-have-their-inodes": () => {
    p.mkdir("d");
    const entries = p.readAll(p.open("d", DIRECTORY));
    const dot = entries.find((entry) => entry.name.toString() === ".");
    equal(dot?.ino, p.stat("d").ino, "inode of .");
    equal(dot?.type, p.DT_DIR, "type of .");
  },
  "all-types": () => {
    put("a");
    p.mkdir("b");
    p.symlink("x", "c");
    p.mknod("d", p.S_IFIFO | 0o600);
    const types = p.entries(".").map((entry) => [entry.name.toString(), entry.type]);
    equal(
      Object.fromEntries(types),
      { a: p.DT_REG, b: p.DT_DIR, c: p.DT_LNK, d: p.DT_FIFO },
      "types",
    );
  },
  "inodes-as-stat-tells": () => {
    fill(50);
    for (const { name, ino } of p.entries(".")) {
      equal(ino, p.lstat(name).ino, `inode of ${name}`);
    }
  },
  "1000-entries": () => {
    const names = fill(1000);
    equal(p.list("."), names.sort(), "entries");
  },
  "small-buffer": () => {
    const names = fill(100);
    const seen = namesOf(p.readAll(p.open(".", DIRECTORY), 300)).filter((name) => name > "..");
    equal(seen.sort(), names.sort(), "entries");
  },
  "buffer-too-small": () => {
    put("n".repeat(200));
    const fd = p.open(".", DIRECTORY);
    refuses("EINVAL", () => p.getdents(fd, 8));
  },
  "of-a-file": () => {
    put("f");
    const fd = p.open("f", p.O_RDONLY);
    refuses("ENOTDIR", () => p.getdents(fd));
  },
  rewind: () => {
    const names = fill(20);
    const fd = p.open(".", DIRECTORY);
    p.readAll(fd);
    p.lseek(fd, 0, p.SEEK_SET);
    equal(p.readAll(fd).length, names.length + 2, "entries after rewind");
  },
  "rewind-shows-new-entries": () => {
    fill(5);
    const fd = p.open(".", DIRECTORY);
    p.readAll(fd);
    put("new");
    p.unlink("entry-0");
    p.lseek(fd, 0, p.SEEK_SET);
    const seen = namesOf(p.readAll(fd));
    check(seen.includes("new"), "the new entry is missing");
    check(!seen.includes("entry-0"), "the removed entry is there");
  },
  "every-position-leads-to-the-rest": () => {
    fill(60);
    const fd = p.open(".", DIRECTORY);
    const all = p.readAll(fd);
    all.forEach((entry, index) => {
      p.seekdir(fd, entry.next);
      const rest = namesOf(p.readAll(fd));
      equal(rest, namesOf(all.slice(index + 1)), `entries after position ${entry.next}`);
    });
  },
  "position-holds-on-another-descriptor": () => {
    fill(300);
    const first = p.open(".", DIRECTORY);
    const all = p.readAll(first, 1000);
    const middle = all[150];
    check(middle !== undefined, "too few entries");
    const second = p.open(".", DIRECTORY);
    p.seekdir(second, middle?.next ?? 0n);
    equal(namesOf(p.readAll(second)), namesOf(all.slice(151)), "entries from the middle on");
  },
  "position-holds-after-changes": () => {
    fill(200);
    const fd = p.open(".", DIRECTORY);
    const all = p.readAll(fd, 1000);
    const half = all.slice(0, 100);
    for (const { name } of half) if (name.length > 2) p.unlink(name);
    p.seekdir(fd, half[99]?.next ?? 0n);
    equal(namesOf(p.readAll(fd)), namesOf(all.slice(100)), "entries that were not removed");
  },
  "removing-while-reading": () => {
    fill(500);
    const fd = p.open(".", DIRECTORY);
    for (;;) {
      const entries = p.getdents(fd, 2000);
      if (entries.length === 0) break;
      for (const { name } of entries) if (name.length > 2) p.unlink(name);
    }
    equal(p.list("."), [], "entries left");
  },
  "two-readers-do-not-disturb": () => {
    const names = fill(300);
    const [a, b] = [p.open(".", DIRECTORY), p.open(".", DIRECTORY)];
    const seen: Record<"a" | "b", string[]> = { a: [], b: [] };
    for (let more = true; more; ) {
      const [fromA, fromB] = [p.getdents(a, 700), p.getdents(b, 1100)];
      seen.a.push(...namesOf(fromA));
      seen.b.push(...namesOf(fromB));
      more = fromA.length + fromB.length > 0;
    }
    equal([seen.a.length, seen.b.length], [names.length + 2, names.length + 2], "entries");
    equal(new Set(seen.a).size, seen.a.length, "different entries");
  },
  "seen-by-another-process-at-once": async (context) => {
    const peer = await context.peer();
    for (let round = 0; round < 10; round++) {
      put(`f${round}`);
      equal((await peer.list(".")).length, round + 1, "entries");
    }
    for (let round = 0; round < 10; round++) {
      p.unlink(`f${round}`);
      equal((await peer.list(".")).length, 9 - round, "entries left");
    }
  },
});

/** Names that are there from the first to the last moment of a reading. */
const STEADY = 50_000;

export const huge = area("huge-directory", {
  "50000-entries-read-while-changed": {
    boundMs: 240_000,
    run: async (context) => {
      p.mkdir("d");
      const maker = await context.peer();
      const half = STEADY / 2;
      const made = maker.makeFiles("d", "steady-", 0, half);
      const own = p.open("d", DIRECTORY);
      for (let index = half; index < STEADY; index++) {
        p.mknod(`steady-${index}`, p.S_IFREG | 0o644, 0, own);
      }
      await made;
      const changing = maker.churn("d", "other-", 2000);
      const seen = new Map<string, number>();
      const fd = p.open("d", DIRECTORY);
      for (const name of namesOf(p.readAll(fd, 65_536))) {
        if (name.startsWith("steady-")) seen.set(name, (seen.get(name) ?? 0) + 1);
      }
      await changing;
      equal(seen.size, STEADY, "entries that existed throughout");
      const doubled = [...seen].filter(([, count]) => count !== 1).map(([name]) => name);
      equal(doubled.slice(0, 5), [], "entries seen twice");
      const last = p.entries("d");
      equal(last.length, STEADY, "entries in the end");
    },
  },
  "5000-entries-by-small-steps-while-changed": {
    boundMs: 60_000,
    run: async (context) => {
      p.mkdir("d");
      const peer = await context.peer();
      await peer.makeFiles("d", "steady-", 0, 5000);
      const fd = p.open("d", DIRECTORY);
      const seen: string[] = [];
      const changing = peer.churn("d", "other-", 1500);
      for (;;) {
        const entries = p.getdents(fd, 1024);
        if (entries.length === 0) break;
        seen.push(...namesOf(entries).filter((name) => name.startsWith("steady-")));
      }
      await changing;
      equal(seen.length, 5000, "entries");
      equal(new Set(seen).size, 5000, "different entries");
    },
  },
});
