/** Who of several processes serves a mount. */
import { afterEach, expect, test } from "bun:test";
import { claimMount } from "../../src/client/claim.ts";
import { createRecord } from "../../src/client/record.ts";
import { close, dup } from "../../src/sys/open.ts";
import { ok } from "../sys/support.ts";

const LONG_MS = 30_000;
const PROGRAM = new URL("./claimchild.ts", import.meta.url).pathname;

const record = ok(createRecord());
const children: Bun.Subprocess[] = [];
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.splice(0).map((child) => child.exited));
});

/** A process that claims the mount: itself, and what becomes of that. */
function claimant(
  boundMs: number,
  fd = record,
): { child: Bun.Subprocess; claimed: Promise<string> } {
  const child = Bun.spawn([process.execPath, PROGRAM, `${boundMs}`], {
    stdio: ["pipe", "pipe", "inherit", fd],
  });
  children.push(child);
  const reader = child.stdout.getReader();
  const claimed = reader.read().then(({ value }) => Buffer.from(value ?? []).toString());
  return { child, claimed };
}

test("one at a time has it, and the next one when that has been killed", async () => {
  const first = claimant(0);
  expect(await first.claimed).toBe("true\n");
  expect(await claimant(0).claimed).toBe("false\n");
  const next = claimant(LONG_MS);
  first.child.kill("SIGKILL");
  expect(await next.claimed).toBe("true\n");
  expect(claimMount(record, 0)).toBe(false);
});

test("closing a copy of the record's descriptor gives nothing away", async () => {
  const other = ok(createRecord());
  expect(claimMount(other, 0)).toBe(true);
  close(ok(dup(other)));
  expect(await claimant(0, other).claimed).toBe("false\n");
  close(other);
});

test("a process has it once for all, and without a record nobody has", () => {
  const other = ok(createRecord());
  expect(claimMount(other, 0)).toBe(true);
  expect(claimMount(other, 0)).toBe(true);
  close(other);
  expect(claimMount(-1, LONG_MS)).toBe(false);
});
