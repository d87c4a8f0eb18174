import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority } from "../../../src/identity/authority.ts";
import { IdentityDirectory } from "../../../src/identity/directory.ts";
import { examineIdentities } from "../../../src/info/doctor/identities.ts";

const DAY_MS = 86_400_000;
const base = mkdtempSync(join(tmpdir(), "qtfs-doctor-"));
const place = join(base, "tls");
mkdirSync(place, { mode: 0o700 });
const authority = new Authority(new IdentityDirectory(place));
authority.begin();
const file = join(base, "web1.identity");
writeFileSync(
  file,
  authority.enroll("web1", { days: 90, addresses: ["tcp://127.0.0.1:1"], rule: {} }) ?? "",
  { mode: 0o600 },
);
afterAll(() => rmSync(base, { recursive: true }));

/** Levels and sentences, so many days from now. */
function inDays(days: number) {
  const found = examineIdentities([file], place, Date.now() + days * DAY_MS);
  return found.map(({ level, says, advice }) => `${level}: ${says} ${advice ?? ""}`);
}

test("a server and a client whose certificates are good", () => {
  expect(inDays(1)).toEqual([
    expect.stringMatching(/^ok: good until /),
    expect.stringMatching(/^ok: good until /),
  ]);
});

test("the end is near, for the server's list and for the client", () => {
  expect(inDays(70)).toEqual([
    expect.stringMatching(/^ok: /),
    "warning: Client web1's ends in 19 days. qtfs server renew web1",
    "warning: Its certificate ends in 19 days. On the HOST: qtfs server renew NAME",
  ]);
});

test("it has ended", () => {
  const [, listed, own] = inDays(91);
  expect(listed).toContain("Client web1's has expired.");
  expect(own).toMatch(/^failure: Its certificate ended at /);
});

test("a clock that is behind", () => {
  expect(inDays(-2)[0]).toMatch(/^failure: .* Set the clock\.$/);
});

test("an identity that others may read is a failure, without anything of it", () => {
  chmodSync(file, 0o644);
  const [, own] = inDays(1);
  expect(own).toMatch(/^failure: /);
  expect(own).not.toContain("PRIVATE KEY");
  chmodSync(file, 0o600);
});

test("a machine without identities", () => {
  expect(examineIdentities([], join(base, "none"))).toEqual([]);
});
