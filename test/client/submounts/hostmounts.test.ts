/** What the mount's thread asks of the HOST's mounts, and what it makes of honest and other answers. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { HostMount } from "../../../src/client/submounts/hostmount.ts";
import { type HostMountNews, HostMounts } from "../../../src/client/submounts/hostmounts.ts";
import { OrderKind, Orders } from "../../../src/client/submounts/orders.ts";
import { E } from "../../../src/sys/errno.ts";
import { close } from "../../../src/sys/open.ts";
import { eventfd } from "../../../src/sys/poll.ts";
import { SOCK_SEQPACKET, socketPair } from "../../../src/sys/socket.ts";
import { ATTRIBUTE_FIELDS, FileType } from "../../../src/wire/constants.ts";
import { MOUNTS_MAX } from "../../../src/wire/limits.ts";
import { Op } from "../../../src/wire/ops.ts";
import { head, Major } from "../../fault/fuzz-client/cbor.ts";
import type { Argument } from "../../support/client.ts";
import { ok, okPair } from "../../sys/support.ts";
import { type Frame, Rig } from "../rig.ts";

const TMP: HostMount = {
  mount: 77,
  parent: 0,
  flags: 0,
  rootType: FileType.DIRECTORY,
  device: 9,
  path: "a/b \xff",
  type: "tmpfs",
  source: "none",
};

/** Place of the mode among the attributes (wire/attributes.ts). */
const MODE = 9;

let rig: Rig;
let mounts: HostMounts;
let orders: Orders;
let news: HostMountNews[];
let channel: [number, number];

beforeEach(() => {
  rig = new Rig();
  orders = new Orders(ok(eventfd()));
  news = [];
  mounts = new HostMounts(rig.client, true, orders, (one) => news.push(one));
  channel = okPair(socketPair(SOCK_SEQPACKET));
});

afterEach(() => {
  rig.close();
  for (const fd of [...channel, orders.wakeFd, rig.client.fuse.channels.fd]) if (fd >= 0) close(fd);
});

/** The requests that the server has got after a step. */
function asked(): Frame[] {
  mounts.step();
  return rig.received();
}

/** The server answers; what became of it. */
function answer(request: Frame, errno: number, results: Argument[] = [], payload?: Buffer): void {
  rig.reply(request, errno, results, payload);
  const { client } = rig;
  client.transport.receive();
  while (client.transport.next()) {
    const { reader } = client.transport;
    reader.array();
    const slot = reader.uint();
    reader.uint();
    const got = reader.uint();
    expect(mounts.answer(slot, got)).toBe(true);
    client.finish(slot);
  }
}

const text = (value: string) => {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([head(Major.BYTES, BigInt(bytes.length)), bytes]);
};

/** Mounts as the server writes them. */
function listed(...all: HostMount[]): Buffer {
  const parts = all.flatMap(({ mount, parent, flags, rootType, device, path, type, source }) => [
    head(Major.ARRAY, 8n),
    ...[mount, parent, flags, rootType, device].map((n) => head(Major.UINT, BigInt(n))),
    ...[path, type, source].map(text),
  ]);
  return Buffer.concat(parts);
}

const opsOf = (frames: Frame[]) => frames.map(({ items }) => items.slice(2));

describe("the list", () => {
  test("is asked for once however often it has changed, and told when it is whole", () => {
    mounts.changed();
    mounts.changed();
    const [first, ...others] = asked() as [Frame];
    expect(opsOf([first, ...others])).toEqual([[Op.MOUNTS, 0]]);
    answer(first, 0, [5, 1], listed(TMP));
    expect(news).toEqual([]);
    const [second] = asked() as [Frame];
    expect(opsOf([second])).toEqual([[Op.MOUNTS, 1]]);
    const other = { ...TMP, mount: 78, parent: 77, path: "a/b \xff/c" };
    answer(second, 0, [5, 0], listed(other));
    expect(news).toEqual([{ kind: "mounts", mounts: [TMP, other] }]);
    expect(asked()).toEqual([]);
  });

  test("is asked for again where the answer was lost, or the connection is another", () => {
    mounts.changed();
    const [first] = asked() as [Frame];
    answer(first, E.EINTR);
    const [second] = asked() as [Frame];
    expect(opsOf([second])).toEqual([[Op.MOUNTS, 0]]);
    mounts.resumed();
    expect(opsOf(asked())).toEqual([[Op.MOUNTS, 0]]);
  });

  test.each([
    ["no path", { path: "" }],
    ["an absolute one", { path: "/etc" }],
    ["one that leads out", { path: "a/../../etc" }],
    ["one with an empty name", { path: "a//b" }],
    ["a NUL in it", { path: "a\0b" }],
    ["no number", { mount: 0 }],
  ])("with %s is not taken", (_, own) => {
    mounts.changed();
    const [request] = asked() as [Frame];
    expect(() => answer(request, 0, [5, 0], listed({ ...TMP, ...own }))).toThrow("nowhere");
    expect(news).toEqual([]);
  });

  test("that goes round, or never ends, is not taken", () => {
    mounts.changed();
    const [request] = asked() as [Frame];
    expect(() => answer(request, 0, [5, 0], Buffer.from([0x81, 0x01]))).toThrow("fields");
    mounts.resumed();
    const [again] = asked() as [Frame];
    const many = Array.from({ length: 1000 }, (_, i) => ({ ...TMP, mount: i + 1 }));
    answer(again, 0, [5, 1000], listed(...many));
    const [next] = asked() as [Frame];
    expect(() => answer(next, 0, [5, 500], listed(TMP))).toThrow("back");
    mounts.resumed();
    let [more] = asked() as [Frame];
    const pages = () => {
      for (let at = 1000; at <= MOUNTS_MAX + 1000; at += 1000) {
        answer(more, 0, [5, at], listed(...many));
        [more] = asked() as [Frame];
      }
    };
    expect(pages).toThrow("more mounts");
  });
});

describe("a channel", () => {
  const ROOT_HIGH = 0x10;
  const entry = (mode: number): Argument[] => [
    (BigInt(ROOT_HIGH) << 32n) | 5n,
    ...attributes(mode),
  ];
  /** Attributes on the wire, of which only the mode matters here. */
  function attributes(mode: number): Argument[] {
    const all = new Array<Argument>(ATTRIBUTE_FIELDS).fill(0);
    all[MODE] = mode;
    return all;
  }
  const open = () => {
    orders.put({ kind: OrderKind.OPEN, channel: 3, fd: channel[1], mount: TMP.mount });
    return asked()[0] as Frame;
  };

  test("is read once its root is known, and its mount leads to it", () => {
    expect(mounts.channelOf(0)).toBe(0);
    expect(mounts.channelOf(TMP.mount)).toBeUndefined();
    const request = open();
    expect(opsOf([request])).toEqual([[Op.MOUNT_ROOT, TMP.mount]]);
    expect(rig.client.fuse.channels.count).toBe(0);
    answer(request, 0, entry(FileType.DIRECTORY | 0o755));
    expect(news).toEqual([{ kind: "rooted", channel: 3, high: ROOT_HIGH, low: 5 }]);
    expect(rig.client.fuse.channels.isRoot(3, ROOT_HIGH, 5)).toBe(true);
    expect(rig.client.fuse.channels.count).toBe(1);
    expect(mounts.channelOf(TMP.mount)).toBe(3);
  });

  test("of a mount that is gone has no root; one whose answer was lost is asked for again", () => {
    const request = open();
    answer(request, E.EINTR);
    const [again] = asked() as [Frame];
    expect(opsOf([again])).toEqual([[Op.MOUNT_ROOT, TMP.mount]]);
    answer(again, E.ENOENT);
    expect(news).toEqual([{ kind: "rootless", channel: 3 }]);
  });

  test("is not read before the new session knows its root", () => {
    answer(open(), 0, entry(FileType.DIRECTORY));
    mounts.begunAnew();
    expect(rig.client.fuse.channels.count).toBe(0);
    expect(rig.client.fuse.channels.fdOf(3)).toBe(channel[1]);
    const frames = asked();
    expect(opsOf(frames)).toEqual([
      [Op.MOUNT_ROOT, TMP.mount],
      [Op.MOUNTS, 0],
    ]);
    answer(frames[0] as Frame, 0, entry(FileType.DIRECTORY));
    expect(rig.client.fuse.channels.count).toBe(1);
  });

  test("that is closed is named to main, and its mount to the server", () => {
    answer(open(), 0, entry(FileType.DIRECTORY));
    orders.put({ kind: OrderKind.CLOSE, channel: 3, fd: channel[1], mount: TMP.mount });
    const [end] = asked() as [Frame];
    expect(opsOf([end])).toEqual([[Op.MOUNT_END, TMP.mount]]);
    expect(news.at(-1)).toEqual({ kind: "closed", channel: 3 });
    expect(rig.client.fuse.channels.fdOf(3)).toBe(-1);
    expect(mounts.channelOf(TMP.mount)).toBeUndefined();
    answer(end, 0);
  });

  test("that is closed when another one of its mount is there leaves the server alone", () => {
    answer(open(), 0, entry(FileType.DIRECTORY));
    orders.put({ kind: OrderKind.OPEN, channel: 4, fd: channel[0], mount: TMP.mount });
    expect(opsOf(asked())).toEqual([[Op.MOUNT_ROOT, TMP.mount]]);
    orders.put({ kind: OrderKind.CLOSE, channel: 3, fd: channel[1], mount: TMP.mount });
    expect(asked()).toEqual([]);
    expect(mounts.channelOf(TMP.mount)).toBe(4);
  });

  test("whose superblock was unmounted here is named as well", () => {
    answer(open(), 0, entry(FileType.DIRECTORY));
    close(channel[0]);
    channel[0] = -1;
    expect(rig.client.fuse.next()).toBe(0);
    mounts.step();
    expect(news.at(-1)).toEqual({ kind: "ended", channel: 3 });
  });

  test("with a root that is none is refused", () => {
    expect(() => answer(open(), 0, [0, ...attributes(FileType.DIRECTORY)])).toThrow("no node");
    mounts.resumed();
    const again = asked().find(({ items }) => items[2] === Op.MOUNT_ROOT) as Frame;
    expect(() => answer(again, 0, entry(FileType.SYMLINK))).toThrow("symbolic link");
  });
});
