/** The kernel's requests, kept until they are answered: small ones copied, large ones where they are. */
import { afterEach, describe, expect, test } from "bun:test";
import { BUFFERS, ClientRecord, RECORD_BYTES, SLOT_BYTES } from "../../src/client/record.ts";
import { Retained } from "../../src/client/retained.ts";
import { Opcode } from "../../src/fuse/protocol.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import { random, seedFor } from "../support/random.ts";
import { requestBytes } from "./requests.ts";
import { Rig } from "./rig.ts";

const LARGE = 3 * SLOT_BYTES;
const region = allocate(RECORD_BYTES);
const rigs: Rig[] = [];

/** A rig of which only the device and the record are used. */
function make(record = new ClientRecord(region)): { rig: Rig; retained: Retained } {
  const rig = new Rig();
  rigs.push(rig);
  return { rig, retained: new Retained(record, rig.client.fuse) };
}

afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
  region.bytes.fill(0);
});
process.on("exit", () => free(region));

/** The kernel asks, and the request is kept in `slot`. */
function keep(rig: Rig, retained: Retained, slot: number, body: Uint8Array): Buffer {
  const unique = rig.ask(Opcode.WRITE, body);
  rig.client.fuse.next();
  retained.keep(slot);
  retained.settle();
  return requestBytes(Opcode.WRITE, body, { unique });
}

/** What is kept in `slot`. */
function kept(rig: Rig, retained: Retained, slot: number): Buffer {
  const { fuse } = rig.client;
  let found = Buffer.alloc(0);
  retained.replay(slot, () => {
    found = Buffer.from(fuse.request.bytes.subarray(0, fuse.length));
  });
  return found;
}

test.each([
  ["small", 100],
  ["as long as a slot's place", SLOT_BYTES - 40],
  ["a byte longer", SLOT_BYTES - 39],
  ["as large as they come", (1 << 20) + 40],
])("a request that is %s is replayed as it was", (_, length) => {
  const { rig, retained } = make();
  const { fuse } = rig.client;
  const request = keep(rig, retained, 3, Buffer.alloc(length, "data"));
  keep(rig, retained, 4, Buffer.alloc(200, "next"));
  const before = fuse.request;
  expect(kept(rig, retained, 3).equals(request)).toBe(true);
  expect(fuse.request).toBe(before);
});

test("large requests are as many as there are buffers but one, which is read to", () => {
  const { rig, retained } = make();
  const requests: Buffer[] = [];
  const hasRoom = () => retained.hasRoom;
  while (hasRoom()) {
    requests.push(keep(rig, retained, requests.length, Buffer.alloc(LARGE, requests.length)));
  }
  expect(requests.length).toBe(BUFFERS - 1);
  keep(rig, retained, 100, Buffer.alloc(10, "small"));
  for (const [slot, request] of requests.entries()) {
    expect(kept(rig, retained, slot).equals(request)).toBe(true);
  }
  retained.release(0);
  expect(hasRoom()).toBe(true);
});

describe("any requests, answered in any order,", () => {
  test("are kept whole, and so by the next process", () => {
    const { below, bytes } = random(seedFor("retained"));
    let { rig, retained } = make();
    const requests = new Map<number, Buffer>();
    const verify = () => {
      for (const [slot, request] of requests) {
        if (!kept(rig, retained, slot).equals(request)) throw new Error(`Slot ${slot} is spoilt`);
      }
    };
    for (let step = 0; step < 600; step++) {
      const slot = below(40);
      if (requests.has(slot)) {
        retained.release(slot);
        requests.delete(slot);
      } else if (retained.hasRoom) {
        const length = below(2) === 0 ? below(SLOT_BYTES) : LARGE + below(100);
        requests.set(slot, keep(rig, retained, slot, bytes(length)));
      }
      if (step % 50 !== 49) continue;
      verify();
      // Another process finds what this one leaves.
      rig.close();
      rigs.pop();
      ({ rig, retained } = make());
      retained.adopt([...requests.keys()]);
      verify();
    }
    const large = [...requests.values()].filter(({ length }) => length > SLOT_BYTES).length;
    let more = 0;
    for (; retained.hasRoom; more++) keep(rig, retained, 200 + more, Buffer.alloc(LARGE));
    expect(more).toBe(BUFFERS - 1 - large);
  });
});
