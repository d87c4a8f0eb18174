/** mmap(2) of files, shared and private. */
import { area } from "../harness/case.ts";
import { check, dies, equal, holds, refuses } from "../harness/expect.ts";
import { age, allZero, get, make, OLD, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { MAP_PRIVATE, MAP_SHARED, MS_SYNC, PROT_READ, PROT_WRITE } = p;
const READ_WRITE = PROT_READ | PROT_WRITE;
const PAGE = 4096;

export const cases = area("mmap", {
  "shared-reads": () => {
    const fd = make("f", pattern(3 * PAGE));
    const map = p.mmap(fd, 3 * PAGE, PROT_READ, MAP_SHARED);
    equal(p.peek(map, 3 * PAGE), pattern(3 * PAGE), "content");
  },
  "private-reads": () => {
    put("f", pattern(3 * PAGE));
    const fd = p.open("f", p.O_RDONLY);
    const map = p.mmap(fd, 3 * PAGE, PROT_READ, MAP_PRIVATE);
    equal(p.peek(map, 3 * PAGE), pattern(3 * PAGE), "content");
  },
  "shared-write-is-read-by-read": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    p.poke(map + 100, "mapped");
    holds(p.pread(fd, 6, 100), "mapped", "content by read");
  },
  "shared-write-is-read-by-another-process": async (context) => {
    const fd = make("f", pattern(PAGE));
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDONLY);
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    p.poke(map + 100, "mapped");
    p.msync(map, PAGE, MS_SYNC);
    holds(await peer.pread(other, 6, 100), "mapped", "content by the peer's read");
  },
  "shared-between-two-processes": async (context) => {
    const fd = make("f", pattern(2 * PAGE));
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDWR);
    const theirs = await peer.mmap(other, 2 * PAGE, READ_WRITE, MAP_SHARED);
    const mine = p.mmap(fd, 2 * PAGE, READ_WRITE, MAP_SHARED);
    p.poke(mine, "from case");
    holds(await peer.peek(theirs, 9), "from case", "what the peer sees");
    await peer.poke(theirs + PAGE, "from peer");
    holds(p.peek(mine + PAGE, 9), "from peer", "what the case sees");
  },
  "write-is-seen-in-the-mapping": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    p.peek(map, PAGE);
    p.pwrite(fd, "written", 50);
    holds(p.peek(map + 50, 7), "written", "content");
  },
  "write-of-another-process-is-seen": async (context) => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    p.peek(map, PAGE);
    const peer = await context.peer();
    await peer.pwrite(await peer.open("f", p.O_WRONLY), "written", 50);
    holds(p.peek(map + 50, 7), "written", "content");
  },
  "private-write-stays-private": () => {
    const fd = make("f", "original".padEnd(PAGE));
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_PRIVATE);
    p.poke(map, "CHANGED!");
    holds(p.peek(map, 8), "CHANGED!", "content of the mapping");
    holds(p.pread(fd, 8, 0), "original", "content of the file");
  },
  "private-write-on-read-only-descriptor": () => {
    put("f", "original".padEnd(PAGE));
    const map = p.mmap(p.open("f", p.O_RDONLY), PAGE, READ_WRITE, MAP_PRIVATE);
    p.poke(map, "X");
    equal(text("f").slice(0, 8), "original", "content of the file");
  },
  "msync-then-close-then-read": () => {
    const fd = make("f", pattern(4 * PAGE));
    const map = p.mmap(fd, 4 * PAGE, READ_WRITE, MAP_SHARED);
    p.poke(map + 3 * PAGE, "end");
    p.msync(map, 4 * PAGE, MS_SYNC);
    p.munmap(map);
    p.close(fd);
    equal(text("f").slice(3 * PAGE, 3 * PAGE + 3), "end", "content");
  },
  "unmap-keeps-the-change": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    p.close(fd);
    p.poke(map, "kept");
    p.munmap(map);
    equal(text("f").slice(0, 4), "kept", "content");
  },
  "outlives-close": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    p.close(fd);
    equal(p.peek(map, PAGE), pattern(PAGE), "content");
  },
  "outlives-unlink": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    p.unlink("f");
    p.poke(map, "kept");
    p.msync(map, PAGE, MS_SYNC);
    holds(p.pread(fd, 4, 0), "kept", "content");
  },
  "rest-of-the-last-page-is-zero": () => {
    const fd = make("f", "abc");
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    allZero(p.peek(map + 3, PAGE - 3), "the rest of the page");
  },
  "write-behind-the-end-is-not-kept": () => {
    const fd = make("f", "abc");
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    p.poke(map + 3, "behind");
    p.msync(map, PAGE, MS_SYNC);
    equal(text("f"), "abc", "content");
  },
  "beyond-the-end-is-sigbus": async (context) => {
    put("f", pattern(PAGE));
    const peer = await context.peer();
    const fd = await peer.open("f", p.O_RDONLY);
    const map = await peer.mmap(fd, 3 * PAGE, PROT_READ, MAP_SHARED);
    await peer.peekByte(map);
    await dies("SIGBUS", peer.peekByte(map + 2 * PAGE));
  },
  "truncate-is-sigbus": async (context) => {
    put("f", pattern(4 * PAGE));
    const peer = await context.peer();
    const fd = await peer.open("f", p.O_RDWR);
    const map = await peer.mmap(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
    await peer.peekByte(map + 3 * PAGE);
    p.truncate("f", PAGE);
    await peer.peekByte(map);
    await dies("SIGBUS", peer.peekByte(map + 3 * PAGE));
  },
  "growth-makes-pages-readable": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, 2 * PAGE, PROT_READ, MAP_SHARED);
    p.peek(map, PAGE);
    p.pwrite(fd, pattern(PAGE, PAGE), PAGE);
    equal(p.peek(map + PAGE, PAGE), pattern(PAGE, PAGE), "content of the new page");
  },
  "hole-is-filled-through-the-mapping": () => {
    const fd = make("f");
    p.ftruncate(fd, 16 * PAGE);
    const map = p.mmap(fd, 16 * PAGE, READ_WRITE, MAP_SHARED);
    allZero(p.peek(map + 5 * PAGE, PAGE), "the hole");
    p.poke(map + 5 * PAGE, "filled");
    p.msync(map, 16 * PAGE, MS_SYNC);
    holds(p.pread(fd, 6, 5 * PAGE), "filled", "content");
  },
  "punched-hole-is-seen": () => {
    const fd = make("f", pattern(4 * PAGE));
    const map = p.mmap(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
    p.peek(map, 4 * PAGE);
    p.fallocate(fd, p.FALLOC_PUNCH_HOLE | p.FALLOC_KEEP_SIZE, PAGE, PAGE);
    allZero(p.peek(map + PAGE, PAGE), "the hole");
    equal(p.peek(map + 2 * PAGE, PAGE), pattern(PAGE, 2 * PAGE), "what is behind");
  },
  "from-an-offset": () => {
    const fd = make("f", pattern(8 * PAGE));
    const map = p.mmap(fd, 2 * PAGE, PROT_READ, MAP_SHARED, 5 * PAGE);
    equal(p.peek(map, 2 * PAGE), pattern(2 * PAGE, 5 * PAGE), "content");
  },
  "8-mib": () => {
    const size = 8 << 20;
    const fd = make("f");
    p.ftruncate(fd, size);
    const map = p.mmap(fd, size, READ_WRITE, MAP_SHARED);
    for (let at = 0; at < size; at += 1 << 20) p.poke(map + at, pattern(1 << 20, at));
    p.msync(map, size, MS_SYNC);
    for (let at = 0; at < size; at += 1 << 20) {
      equal(p.pread(fd, 1 << 20, at), pattern(1 << 20, at), `content at ${at}`);
    }
  },
  "shared-write-changes-mtime": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED);
    age("f");
    p.poke(map, "X");
    p.msync(map, PAGE, MS_SYNC);
    check(p.stat("f").mtime > OLD, "mtime is still the old one");
  },
  "shared-write-on-read-only-descriptor": () => {
    put("f", pattern(PAGE));
    const fd = p.open("f", p.O_RDONLY);
    refuses("EACCES", () => p.mmap(fd, PAGE, READ_WRITE, MAP_SHARED));
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    refuses("EACCES", () => p.mprotect(map, PAGE, READ_WRITE));
  },
  "of-a-write-only-descriptor": () => {
    const fd = p.open("f", p.O_CREAT | p.O_WRONLY);
    refuses("EACCES", () => p.mmap(fd, PAGE, PROT_READ, MAP_SHARED));
  },
  "of-a-directory": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY);
    refuses("ENODEV", () => p.mmap(fd, PAGE, PROT_READ, MAP_SHARED));
  },
  "odd-offset": () => {
    const fd = make("f", pattern(PAGE));
    refuses("EINVAL", () => p.mmap(fd, PAGE, PROT_READ, MAP_SHARED, 100));
  },
  "length-0": () => {
    const fd = make("f", pattern(PAGE));
    refuses("EINVAL", () => p.mmap(fd, 0, PROT_READ, MAP_SHARED));
  },
  "msync-of-nothing": () => {
    const fd = make("f", pattern(PAGE));
    const map = p.mmap(fd, PAGE, PROT_READ, MAP_SHARED);
    p.munmap(map);
    refuses("ENOMEM", () => p.msync(map, PAGE, MS_SYNC));
  },
  executable: () => {
    put("f", get("/bin/true").subarray(0, PAGE), 0o755);
    const fd = p.open("f", p.O_RDONLY);
    const map = p.mmap(fd, PAGE, PROT_READ | p.PROT_EXEC, MAP_PRIVATE);
    equal(p.peek(map, 4), Buffer.from("\x7fELF", "latin1"), "magic");
  },
});
