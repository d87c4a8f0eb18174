/** Sockets at which somebody on the HOST listens, called from the mount. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { InfoReport } from "../../../src/info/report.ts";
import { mountTree } from "../support/mount.ts";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { answered, compileMeet, Meeting, said, until } from "./stage.ts";

const share = await mountTree();
afterAll(() => share.close());
const { bare, mountpoint, tree } = share;
const meet = await compileMeet(bare);
chmodSync(bare, 0o755);

let serving: Meeting[] = [];
afterEach(async () => {
  for (const one of serving) await one.end();
  serving = [];
});

/** Somebody listens at `name` of the HOST. */
async function serve(name: string, type = "stream", ...wrapper: string[]): Promise<Meeting> {
  const one = await Meeting.up([...wrapper, meet, "serve", `${tree}/${name}`, type]);
  serving.push(one);
  return one;
}

const call = (name: string, type = "stream", ...more: string[]) =>
  said([meet, "call", `${mountpoint}/${name}`, type, ...more]);

describe.each(["stream", "seqpacket"])("a %s socket", (type) => {
  test("is connected to, tells the HOST's name and ends in halves", async () => {
    const server = await serve(`whole-${type}`, type);
    expect(await call(`whole-${type}`, type)).toBe(answered(`${tree}/whole-${type}`));
    expect(await server.served()).toEqual(["peer uid 0 gid 0", "served 5 bytes"]);
  });

  test("of another type is refused as such", async () => {
    await serve(`typed-${type}`, type);
    const other = type === "stream" ? "seqpacket" : "stream";
    expect(await call(`typed-${type}`, other)).toBe("connect: EPROTOTYPE\n");
    expect(await call(`typed-${type}`, "dgram")).toBe("connect: EPROTOTYPE\n");
    expect(await call(`typed-${type}`, type)).toContain("heard bye");
  });
});

test("datagrams come as they are sent, and are answered", async () => {
  const one = await Meeting.up([meet, "receive", `${tree}/datagrams`, "dgram"]);
  serving.push(one);
  expect(await said([meet, "send", `${mountpoint}/datagrams`, "dgram"])).toBe("answer named\n");
  expect(await one.line()).toBe("uid 0: lone");
  expect(await one.line()).toBe("uid 0: named");
  expect(await call("datagrams")).toBe("connect: EPROTOTYPE\n");
  await one.end();
  const again = await said([meet, "send", `${mountpoint}/datagrams`, "dgram"]);
  expect(again).toBe("sendto: ECONNREFUSED\n");
});

test("both sides see who is at the other end", async () => {
  mkdirSync(`${tree}/users`);
  chownSync(`${tree}/users`, 65534, 65534);
  const server = await serve(
    "users/open",
    "stream",
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
  );
  chmodSync(`${tree}/users/open`, 0o777);
  expect(await call("users/open", "stream", "12345")).toBe(answered(`${tree}/users/open`, 65534));
  expect(await server.line()).toBe("peer uid 12345 gid 12345");
});

test("who may not write to it is refused", async () => {
  await serve("closed");
  chmodSync(`${tree}/closed`, 0o700);
  expect(await call("closed", "stream", "12345")).toBe("connect: EACCES\n");
  expect(await call("closed")).toContain("heard bye");
});

test("what nobody listens at refuses, what is not there is not there", async () => {
  const server = await serve("ended");
  expect(await call("ended")).toContain("heard bye");
  await server.end();
  expect(await call("ended")).toBe("connect: ECONNREFUSED\n");
  expect(await call("never-there")).toBe("connect: ENOENT\n");
  writeFileSync(`${tree}/regular`, "");
  expect(await call("regular")).toBe("connect: ECONNREFUSED\n");
});

test("one that was never looked up while it lived refuses", async () => {
  const server = await serve("short");
  await server.end();
  expect(await call("short")).toBe("connect: ECONNREFUSED\n");
});

test("a server that is started anew is found, with a new file or the old name", async () => {
  for (let i = 0; i < 3; i++) {
    const server = await serve("again");
    expect(await call("again")).toContain("heard bye");
    await server.end();
    rmSync(`${tree}/again`);
  }
  await serve("again");
  rmSync(`${mountpoint}/again`);
  expect(await call("again")).toBe("connect: ENOENT\n");
  await serve("again");
  // That the name is there again is told within milliseconds.
  await until(async () => (await call("again")).includes("heard bye"), "it is found");
});

test("its file is a socket's", async () => {
  await serve("shown");
  expect(await call("shown")).toContain("heard bye");
  const status = lstatSync(`${mountpoint}/shown`);
  expect(status.isSocket()).toBe(true);
  expect(status.rdev).toBe(0);
  expect(status.ino).toBe(lstatSync(`${tree}/shown`).ino);
});

test("who only looks at one starts nothing", async () => {
  await serve("looked-at");
  if (share.server === undefined) return;
  const meetings = async () => {
    const { stdout } = await run([QTFS, "info", "--json", mountpoint]);
    return JSON.stringify(
      (JSON.parse(stdout) as InfoReport).daemons.map((one) => ("twins" in one ? one.twins : 0)),
    );
  };
  const looks = `ls -l ${mountpoint}; stat ${mountpoint}/looked-at; [ -e ${mountpoint}/looked-at ]`;
  await sh(`${looks}; test -w ${mountpoint}/looked-at; getfattr ${mountpoint}/looked-at`);
  expect(await meetings()).not.toContain("looked-at");
  expect(await call("looked-at")).toContain("heard bye");
  expect(await meetings()).toContain("looked-at");
});

test("it is reached by links, by O_PATH, after a listing, by a long path", async () => {
  mkdirSync(`${tree}/ways`);
  await serve("ways/here");
  symlinkSync("ways/here", `${tree}/link`);
  expect(await call("link")).toBe(answered(`${tree}/ways/here`));
  expect(await said([meet, "opath", `${mountpoint}/ways/here`, "stream"])).toContain("heard bye");
  const listed = [meet, "list", `${mountpoint}/ways`, `${mountpoint}/ways/here`, "stream"];
  expect(await said(listed)).toContain("heard bye");
  const long = `deep/${"d".repeat(100)}/${"e".repeat(100)}`;
  mkdirSync(`${tree}/${long}`, { recursive: true });
  await serve(`${long}/socket`);
  expect(await call(`${long}/socket`)).toContain("heard bye");
});

describe("from elsewhere", () => {
  test("another root", async () => {
    await serve("rooted");
    await sh(
      `ldd ${meet} | grep -o '/[^ ]*' | xargs cp --parents -t ${tree}; cp ${meet} ${tree}/meet`,
    );
    expect(await said(["chroot", mountpoint, "/meet", "call", "/rooted", "stream"])).toBe(
      answered(`${tree}/rooted`),
    );
  });

  test("other namespaces", async () => {
    await serve("spaces");
    const apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--ipc", "--uts"];
    const path = `${mountpoint}/spaces`;
    expect(await said([...apart, meet, "call", path, "stream"])).toContain("heard bye");
    chmodSync(`${tree}/spaces`, 0o777);
    expect(await said(["unshare", "-Ur", meet, "call", path, "stream"])).toContain("heard bye");
  });

  test("a bind mount of the file", async () => {
    await serve("bound");
    writeFileSync(`${bare}/place`, "");
    await sh(`mount --bind ${mountpoint}/bound ${bare}/place`);
    try {
      expect(await said([meet, "call", `${bare}/place`, "stream"])).toBe(answered(`${tree}/bound`));
    } finally {
      await sh(`umount ${bare}/place`);
    }
  });
});

test("a mount is unmounted at once though sockets are connected", async () => {
  await serve("held");
  const holding = await Meeting.up([meet, "hold", `${mountpoint}/held`, "1000000000000"]);
  const { code } = await run(["umount", mountpoint], { timeoutMs: 20_000 });
  expect(code).toBe(0);
  // An end or an error, but no silence.
  if (process.env.QTFS_E2E_BARE !== "1") expect(await holding.line()).not.toBe("up");
  await holding.end();
  await until(() => !lstatSync(mountpoint).isSocket(), "the place is a directory again");
  await share.mount();
  expect(await call("held")).toContain("heard bye");
});
