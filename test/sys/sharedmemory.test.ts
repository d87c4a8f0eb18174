/** Memory of a file: what is written is the file's, and stays when the mapping goes. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import { ftruncate } from "../../src/sys/io.ts";
import { regionAt } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { bufferAt, mapShared, memfdCreate, unmap } from "../../src/sys/sharedmemory.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();
const PAGE = 65_536;

test("what is written through a mapping is in the file, and the other way round", () => {
  const fd = place.file("mapped");
  ok(ftruncate(fd, PAGE));
  const address = ok(mapShared(fd, PAGE));
  regionAt(address, PAGE).view.setUint32(8, 0x64636261, true);
  expect(readFileSync(place.path("mapped")).toString("latin1", 8, 12)).toBe("abcd");
  writeFileSync(place.path("mapped"), "efgh", { flag: "r+" });
  expect(Buffer.from(bufferAt(address, 4)).toString()).toBe("efgh");
  expect(unmap(address, PAGE)).toBe(0);
  close(fd);
  expect(readFileSync(place.path("mapped")).toString("latin1", 8, 12)).toBe("abcd");
});

test("two mappings of a file without a name are the same memory", () => {
  const fd = ok(memfdCreate(cstring("qtfs-test")));
  ok(ftruncate(fd, PAGE));
  const [one, other] = [ok(mapShared(fd, PAGE)), ok(mapShared(fd, PAGE))];
  new Uint32Array(bufferAt(one, PAGE))[5] = 77;
  expect(new Uint32Array(bufferAt(other, PAGE))[5]).toBe(77);
  expect(bufferAt(one, 0).byteLength).toBe(0);
  expect([unmap(one, PAGE), unmap(other, PAGE), close(fd)]).toEqual([0, 0, 0]);
});

test("what is no file cannot be mapped", () => {
  expect(outcome(mapShared(-1, PAGE))).toBe("EBADF");
  expect(outcome(mapShared(place.file("empty"), 0))).toBe("EINVAL");
});
