import { expect, test } from "bun:test";
import {
  NAME_CALL,
  NAME_CALL_BYTES,
  NameAct,
  putNameCall,
  readNameCall,
} from "../../../src/client/twins/namecall.ts";
import { regionAt } from "../../../src/sys/memory.ts";

const put = (call: Parameters<typeof putNameCall>[0]) =>
  regionAt(putNameCall(call), NAME_CALL_BYTES).bytes;

test("a call is read as it was put", () => {
  const call = { act: NameAct.BIND, type: 5, pid: 4_000_000, name: "a\0b\xff".padEnd(107, "x") };
  expect(readNameCall(put(call), 0)).toEqual(call);
});

test("what is none is not read as one", () => {
  const call = { act: NameAct.CONNECT, type: 0, pid: 0, name: "name" };
  expect(readNameCall(put({ ...call, act: 3 }), 0)).toBeUndefined();
  expect(readNameCall(put({ ...call, name: "" }), 0)).toBeUndefined();
  const bytes = put(call);
  bytes.writeUInt32LE(108, 12);
  expect(readNameCall(bytes, 0)).toBeUndefined();
});

test("its number is that of _IOW('q', 1, char[124])", () => {
  // As a C compiler has it (asm-generic/ioctl.h).
  expect([NAME_CALL_BYTES, NAME_CALL]).toEqual([124, 1_081_897_217]);
});
