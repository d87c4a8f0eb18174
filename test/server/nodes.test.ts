/** The table of nodes: numbers, hints and growth, in memory and again from a record. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Identity, NodeTable } from "../../src/server/nodes.ts";
import { SessionRecord } from "../../src/server/record/record.ts";
import { NAME_MAX } from "../../src/wire/limits.ts";
import { random as randomFrom } from "../support/random.ts";

const directory = mkdtempSync("/dev/shm/qtfs-nodes-");
afterAll(() => rmSync(directory, { recursive: true }));

function identity(n: number): Identity {
  return { device: 7, inoHigh: 0, inoLow: n, birth: n >>> 3, birthNs: n & 7 };
}

function create(name: string): SessionRecord {
  const record = SessionRecord.create(join(directory, name));
  if (typeof record === "number") throw new Error(`No record: ${record}`);
  return record;
}

/** The table as another process finds it. */
function again(table: NodeTable): NodeTable {
  const { record } = table;
  table.close();
  record.close();
  const opened = SessionRecord.open(record.path as string);
  if (typeof opened === "string") throw new Error(opened);
  return new NodeTable(opened);
}

test("a node is found by what it is; its number is gone once it is dropped", () => {
  const nodes = new NodeTable();
  const root = nodes.intern(identity(1), -1, "");
  const a = nodes.intern(identity(2), root, "a");
  expect(nodes.intern(identity(2), root, "b")).toBe(a);
  expect(nodes.nameOf(a)).toBe("b");
  expect(nodes.lookups[a]).toBe(2);
  const high = nodes.high(a);
  expect(nodes.row(high, a)).toBe(a);
  expect(nodes.forget(a, 1)).toBe(false);
  expect(nodes.forget(a, 1)).toBe(true);
  nodes.drop(a);
  expect(nodes.row(high, a)).toBe(-1);
  expect(nodes.find(identity(2))).toBe(-1);
  expect(nodes.intern(identity(3), root, "c")).toBe(a);
  expect(nodes.row(high, a)).toBe(-1);
  expect(nodes.row(nodes.high(a), a)).toBe(a);
});

test("names of every length and byte are kept, and grow and shrink in place of others", () => {
  const nodes = new NodeTable();
  const root = nodes.intern(identity(1), -1, "");
  const name = (n: number, length: number) =>
    Array.from({ length }, (_, i) => String.fromCharCode(((n * 31 + i * 7) % 254) + 1))
      .join("")
      .replaceAll("/", "_");
  for (let n = 2; n < 300; n++) nodes.intern(identity(n), root, name(n, n % NAME_MAX));
  for (let round = 0; round < 3; round++) {
    for (let n = 2; n < 300; n++) nodes.setHint(n, root, name(n, (n * 7 + round) % NAME_MAX));
  }
  for (let n = 2; n < 300; n++) {
    expect(nodes.nameOf(n)).toBe(name(n, (n * 7 + 2) % NAME_MAX));
  }
  expect(nodes.intern(identity(400), root, name(1, NAME_MAX))).toBe(300);
  expect(nodes.nameOf(300)).toBe(name(1, NAME_MAX));
  expect(nodes.intern(identity(401), root, name(1, NAME_MAX + 1))).toBe(-1);
  expect(nodes.find(identity(401))).toBe(-1);
});

test("a table of many rows is the same in another process", () => {
  const random = randomFrom(5);
  let nodes = new NodeTable(create("many"));
  const root = nodes.intern(identity(1), -1, "");
  const alive = new Map<number, { name: string; high: number; lookups: number }>();
  const change = (count: number) => {
    for (let i = 0; i < count; i++) {
      const n = 2 + random.below(9000);
      const row = nodes.find(identity(n));
      if (row >= 0 && random.below(3) === 0) {
        expect(nodes.forget(row, nodes.lookups[row] as number)).toBe(true);
        nodes.drop(row);
        alive.delete(n);
        continue;
      }
      const name = `${n}-${"x".repeat(random.below(200))}`;
      const made = nodes.intern(identity(n), root, name);
      const lookups = (alive.get(n)?.lookups ?? 0) + 1;
      alive.set(n, { name, high: nodes.high(made), lookups });
    }
  };
  const check = () => {
    expect(nodes.count).toBe(alive.size + 1);
    for (const [n, { name, high, lookups }] of alive) {
      const row = nodes.find(identity(n));
      expect(nodes.row(high, row)).toBe(row);
      expect(nodes.nameOf(row)).toBe(name);
      expect(nodes.lookups[row]).toBe(lookups);
      expect(nodes.parentAlive(row)).toBe(true);
    }
  };
  for (let life = 0; life < 4; life++) {
    change(12_000);
    check();
    nodes = again(nodes);
    check();
  }
});

test("a row that another process left free gets another number", () => {
  const nodes = new NodeTable(create("free"));
  const root = nodes.intern(identity(1), -1, "");
  const row = nodes.intern(identity(2), root, "a");
  const high = nodes.high(row);
  // Killed between the last FORGET and what follows it.
  nodes.forget(row, 1);
  const next = again(nodes);
  expect(next.row(high, row)).toBe(-1);
  expect(next.intern(identity(3), root, "b")).toBe(row);
  expect(next.row(high, row)).toBe(-1);
  expect(next.nameOf(row)).toBe("b");
});
