/** Names and paths: any bytes, any length that is allowed. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses } from "../harness/expect.ts";
import { absent, get, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

/** Makes, lists, reads, renames and removes a file of that name. */
function livesUnder(name: Uint8Array): void {
  put(name, "data");
  const [entry] = p.entries(".");
  equal(entry?.name, Buffer.from(name), "the name in the listing");
  holds(get(name), "data", "content");
  const other = Buffer.concat([name.subarray(0, 250), Buffer.from("~")]);
  p.rename(name, other);
  equal(p.lstat(other).size, 4, "size");
  p.unlink(other);
  equal(p.entries("."), [], "entries left");
}

/** All directories on a path of `length` bytes, which ends in a file "f". */
function longPath(length: number): string[] {
  const parts: string[] = [];
  let left = length - 2;
  while (left > 0) {
    const size = Math.min(left, 200);
    parts.push("d".repeat(size === left ? size : size - 1));
    left -= size;
  }
  return parts;
}

/** Enters a chain of directories one by one: the whole path may be too long to be given. */
function enterAll(parts: string[]): void {
  for (const part of parts) {
    p.mkdir(part);
    p.chdir(part);
  }
}

export const cases = area("names", {
  "every-byte": () => {
    for (let byte = 1; byte < 256; byte++) {
      if (byte === 0x2f) continue;
      livesUnder(Buffer.from([0x61, byte, 0x62]));
    }
  },
  "every-single-byte": () => {
    let count = 0;
    for (let byte = 1; byte < 256; byte++) {
      if (byte === 0x2f || byte === 0x2e) continue;
      p.mkdir(Buffer.of(byte));
      count++;
    }
    equal(p.entries(".").length, count, "entries");
  },
  "all-bytes-in-one": () => {
    const bytes = Array.from({ length: 255 }, (_, index) => index + 1);
    livesUnder(Buffer.from(bytes.filter((byte) => byte !== 0x2f)));
  },
  "not-utf-8": () => {
    livesUnder(Buffer.from([0xff, 0xfe, 0x80, 0xc3, 0x28]));
  },
  "cut-utf-8": () => {
    livesUnder(Buffer.from("é").subarray(0, 1));
  },
  "utf-8-of-4-bytes": () => {
    livesUnder(Buffer.from("🦊-файл-文件"));
  },
  "composed-and-decomposed-differ": () => {
    put("\u00e9", "composed");
    put("e\u0301", "decomposed");
    equal([text("\u00e9"), text("e\u0301")], ["composed", "decomposed"], "contents");
  },
  "case-matters": () => {
    put("name", "small");
    put("NAME", "large");
    equal([text("name"), text("NAME")], ["small", "large"], "contents");
  },
  newline: () => {
    livesUnder(Buffer.from("two\nlines"));
  },
  "blanks-and-dots": () => {
    for (const name of [" ", "...", ".hidden", "a ", " a", "a.", "-rf", "~", "*", "\\", "\t"]) {
      livesUnder(Buffer.from(name));
    }
  },
  "of-255-bytes": () => {
    livesUnder(Buffer.alloc(250, "n"));
    put("n".repeat(255), "data");
    equal(text("n".repeat(255)), "data", "content");
  },
  "of-255-bytes-in-utf-8": () => {
    const name = `${"é".repeat(127)}x`;
    put(name, "data");
    equal(p.list("."), [name], "entries");
    refuses("ENAMETOOLONG", () => put(`${name}y`));
  },
  "hundred-of-255-bytes": () => {
    for (let index = 0; index < 100; index++) put(`${"n".repeat(252)}${100 + index}`);
    equal(p.list(".").length, 100, "entries");
    equal(p.stat(`${"n".repeat(252)}150`).size, 0, "size");
  },
  "differ-in-the-last-byte": () => {
    const name = (last: string) => `${"n".repeat(254)}${last}`;
    put(name("a"), "A");
    put(name("b"), "B");
    equal([text(name("a")), text(name("b"))], ["A", "B"], "contents");
  },
  "path-of-4095-made-and-used": (context) => {
    const parts = longPath(4095);
    const whole = `${parts.join("/")}/f`;
    equal(whole.length, 4095, "length of the path");
    enterAll(parts);
    put("f", "far");
    p.chdir(context.directory);
    equal(text(whole), "far", "content by the whole path");
    refuses("ENAMETOOLONG", () => p.stat(`${whole}f`));
    p.chmod(whole, 0o600);
    p.unlink(whole);
    absent(whole);
  },
  "tree-deeper-than-a-path": () => {
    const parts = Array.from({ length: 40 }, () => "d".repeat(200));
    enterAll(parts);
    put("f", "deep");
    equal(text("f"), "deep", "content");
    p.rename("f", "g");
    p.chdir("..");
    equal(p.stat(`${"d".repeat(200)}/g`).size, 4, "size");
    check(p.list(".").length === 1, "the directory has other entries");
  },
  "getcwd-too-long": () => {
    enterAll(Array.from({ length: 25 }, () => "d".repeat(200)));
    refuses("ERANGE", () => p.getcwd(1024));
  },
  "double-slashes": () => {
    p.mkdir("d");
    put("d/f", "data");
    equal(text(".//d///f"), "data", "content");
  },
  "not-silly-renamed": () => {
    const name = ".fuse_hidden0000000100000001";
    put(name, "data");
    put(".nfs000001", "data");
    equal(p.list("."), [name, ".nfs000001"].sort(), "entries");
  },
});
