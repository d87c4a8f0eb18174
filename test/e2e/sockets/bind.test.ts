/** Sockets that processes of the DPU bind on the mount, called from the HOST and from the DPU. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";
import { compileMeet, Meeting, said, until } from "./stage.ts";

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

/** Somebody on the mount listens at `name`. */
async function serve(name: string, type = "stream", ...wrapper: string[]): Promise<Meeting> {
  const one = await Meeting.up([...wrapper, meet, "serve", `${mountpoint}/${name}`, type]);
  serving.push(one);
  return one;
}

const call = (name: string, type = "stream", ...more: string[]) =>
  said([meet, "call", `${tree}/${name}`, type, ...more]);
const callHere = (name: string, type = "stream") =>
  said([meet, "call", `${mountpoint}/${name}`, type]);

/** Waits until nobody is connected on the HOST any more. */
const refused = (name: string, type = "stream") =>
  until(async () => (await call(name, type)) === "connect: ECONNREFUSED\n", `${name} refuses`);

describe.each(["stream", "seqpacket"])("a %s socket", (type) => {
  test("is connected to from both sides", async () => {
    const server = await serve(`whole-${type}`, type);
    expect(await call(`whole-${type}`, type)).toContain("heard hello\nheard bye\nend 0\n");
    expect(await server.served()).toEqual(["peer uid 0 gid 0", "served 5 bytes"]);
    const name = `name ${mountpoint}/whole-${type}\n`;
    expect(await callHere(`whole-${type}`, type)).toStartWith(name);
    expect(await server.served()).toEqual(["peer uid 0 gid 0", "served 5 bytes"]);
  });

  test("of another type is refused as such", async () => {
    await serve(`typed-${type}`, type);
    const other = type === "stream" ? "seqpacket" : "stream";
    expect(await call(`typed-${type}`, other)).toBe("connect: EPROTOTYPE\n");
    expect(await callHere(`typed-${type}`, other)).toBe("connect: EPROTOTYPE\n");
  });
});

test("datagrams come as they are sent, and are answered", async () => {
  const one = await Meeting.up([meet, "receive", `${mountpoint}/datagrams`, "dgram"]);
  serving.push(one);
  expect(await said([meet, "send", `${tree}/datagrams`, "dgram"])).toBe("answer named\n");
  expect(await one.line()).toBe("uid 0: lone");
  expect(await one.line()).toBe("uid 0: named");
  expect(await said([meet, "send", `${mountpoint}/datagrams`, "dgram"])).toBe("answer named\n");
});

test("the server sees who has called", async () => {
  mkdirSync(`${tree}/users`);
  chownSync(`${tree}/users`, 65534, 65534);
  const server = await serve(
    "users/open",
    ...["stream", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
  );
  expect(lstatSync(`${tree}/users/open`)).toMatchObject({ uid: 65534, gid: 65534 });
  chmodSync(`${mountpoint}/users/open`, 0o777);
  expect(await call("users/open", "stream", "12345")).toContain("heard bye");
  expect(await server.line()).toBe("peer uid 12345 gid 12345");
  chmodSync(`${mountpoint}/users/open`, 0o700);
  expect(await call("users/open", "stream", "12345")).toBe("connect: EACCES\n");
});

test("a name that is taken is told so, a socket that was made is no listener", async () => {
  await serve("taken");
  expect(await said([meet, "serve", `${mountpoint}/taken`, "stream"])).toBe("bind: EADDRINUSE\n");
  expect(await said([meet, "serve", `${mountpoint}/nowhere/at-all`, "stream"])).toBe(
    "bind: ENOENT\n",
  );
  expect(lstatSync(`${tree}/taken`).isSocket()).toBe(true);
});

test("its end is noticed, its file stays", async () => {
  const server = await serve("ended");
  expect(await call("ended")).toContain("heard bye");
  await server.end();
  await refused("ended");
  expect(await callHere("ended")).toBe("connect: ECONNREFUSED\n");
  expect(lstatSync(`${tree}/ended`).isSocket()).toBe(true);
});

test("who calls one that has ended is refused at the second call at the latest", async () => {
  for (let i = 0; i < 3; i++) {
    const server = await serve(`over${i}`);
    expect(await call(`over${i}`)).toContain("heard bye");
    // The name keeps the inode for a while.
    expect(lstatSync(`${mountpoint}/over${i}`).isSocket()).toBe(true);
    await server.end();
    await call(`over${i}`);
    expect(await call(`over${i}`)).toBe("connect: ECONNREFUSED\n");
  }
});

test("the end of one that nobody has called is noticed", async () => {
  const server = await serve("lonely");
  await server.end();
  await refused("lonely");
});

test("it goes on under another name", async () => {
  mkdirSync(`${tree}/elsewhere`);
  const server = await serve("before");
  renameSync(`${mountpoint}/before`, `${mountpoint}/elsewhere/after`);
  expect(await call("elsewhere/after")).toContain("heard bye");
  expect(await callHere("elsewhere/after")).toContain("heard bye");
  expect(await call("before")).toBe("connect: ENOENT\n");
  await server.end();
  await refused("elsewhere/after");
});

test("its name can be taken away, and used again", async () => {
  for (let i = 0; i < 3; i++) {
    const server = await serve("again");
    expect(await call("again")).toContain("heard bye");
    rmSync(`${mountpoint}/again`);
    expect(await call("again")).toBe("connect: ENOENT\n");
    await server.end();
  }
  await serve("again");
  expect(await call("again")).toContain("heard bye");
});

test("one that is bound and listens later", async () => {
  const server = await Meeting.up([meet, "bind", `${mountpoint}/later`, "stream"]);
  serving.push(server);
  expect(await callHere("later")).toBe("connect: ECONNREFUSED\n");
  server.go();
  expect(await server.line()).toBe("up");
  expect(await call("later")).toContain("heard bye");
  expect(await callHere("later")).toContain("heard bye");
});

test("it can be bound by a long path, and in another root", async () => {
  const long = `deep/${"d".repeat(100)}/${"e".repeat(100)}`;
  mkdirSync(`${tree}/${long}`, { recursive: true });
  await serve(`${long}/socket`);
  expect(await call(`${long}/socket`)).toContain("heard bye");
  await sh(
    `ldd ${meet} | grep -o '/[^ ]*' | xargs cp --parents -t ${tree}; cp ${meet} ${tree}/meet`,
  );
  serving.push(await Meeting.up(["chroot", mountpoint, "/meet", "serve", "/rooted", "stream"]));
  expect(await call("rooted")).toContain("heard bye");
});
