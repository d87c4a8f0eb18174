/** Enrolled clients: what they may do, and what changes while they do it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { talkDuring } from "../../fault/streams/talk.ts";
import { until } from "../support/program.ts";
import { run, sh } from "../support/run.ts";
import { Place } from "./place.ts";

const place = new Place();
const { tree, mountpoint } = place;

beforeAll(async () => {
  mkdirSync(`${tree}/below`);
  await place.enroll("web1");
  await place.enroll("reader", "--export", `${tree}/below:ro`, "--expires", "30");
  await place.start();
});
afterAll(() => place.close());

test("files go both ways, whole", async () => {
  const { code, stderr } = await place.mount(`identity=${place.directory}/web1.identity`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  await sh(`cd ${mountpoint}; test "$(cat file)" = text
    dd if=/dev/urandom of=large bs=1M count=48 status=none
    echo 3 >/proc/sys/vm/drop_caches
    cmp large ${tree}/large
    for i in $(seq 200); do echo $i >small-$i; done
    cat small-* | sort -n | cmp - <(seq 200)`);
});

test("a socket of the HOST is reached", async () => {
  const socket = `${tree}/socket`;
  const server = Bun.serve({ unix: socket, fetch: async (request) => new Response(request.body) });
  const sent = "0123456789abcdef".repeat(1 << 16);
  const options = { method: "POST", body: sent, unix: `${mountpoint}/socket` };
  const said = async () => await (await fetch("http://x/", options)).text().catch(() => "");
  try {
    // Until the twin process is there, callers may find nobody.
    await until(
      async () => (await said().catch(() => "")) === sent,
      () => place.mountLog,
    );
  } finally {
    await server.stop(true);
  }
});

test("the session goes on with a server that was killed and started again", async () => {
  const reader = openSync(`${mountpoint}/file`, "r");
  await place.stop("SIGKILL");
  await place.start();
  expect(await sh(`timeout 30 cat ${mountpoint}/file`)).toBe("text");
  const path = `/proc/${process.pid}/fd/${reader}`;
  expect(await sh(`timeout 30 cat ${path}`)).toBe("text");
  closeSync(reader);
  expect(place.mountLog).toContain("the session goes on");
});

test("a connection to a socket goes on, too: with TLS of another process", async () => {
  const said = await talkDuring(place, async () => {
    await place.stop("SIGKILL");
    await place.start();
  });
  expect(said).toBe("whole\n");
}, 90_000);

test("a renewed certificate is used from the next connection on, and the old one is good", async () => {
  const path = `${place.directory}/web1.identity`;
  const before = readFileSync(path, "utf8");
  await place.identity("renew", "web1", "--address", place.address, "--out", path);
  expect(readFileSync(path, "utf8")).not.toBe(before);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await sh(`timeout 20 cat ${mountpoint}/file`)).toBe("text");
  await place.umount();
  expect(await place.mount(`identity=${path}`)).toMatchObject({ code: 0 });
});

test("revoking a name ends what it has, without a restart", async () => {
  await place.identity("revoke", "web1");
  await place.says("Ended the session of web1");
  await until(
    () => place.mountLog.includes("does not accept our certificate: certificate revoked"),
    () => place.mountLog,
  );
  await run(["umount", "-l", mountpoint]);
  expect(await place.identity("list")).not.toContain("web1");
});

test("a name has what it was enrolled for, and no more", async () => {
  const options = `identity=${place.directory}/reader.identity`;
  const all = await place.mount(options);
  expect(all.code).not.toBe(0);
  expect(all.stderr).toContain("does not export it");
  expect(await place.mount(options, `${tree}/below`)).toMatchObject({ code: 0 });
  const written = await run(["touch", `${mountpoint}/new`]);
  expect(written.stderr).toContain("Read-only file system");
  await place.umount();
  expect(await place.identity("list")).toContain(`reader  until 20`);
});
