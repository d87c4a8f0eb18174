/** Descriptors that wait in a socket for the process that takes over. */
import { expect, test } from "bun:test";
import { fstatSync, openSync, readdirSync } from "node:fs";
import { ChannelStore, type KeptChannel } from "../../../src/client/submounts/channelstore.ts";
import { CHANNELS_MAX } from "../../../src/fuse/channels.ts";
import { close, dup } from "../../../src/sys/open.ts";
import { PATH_MAX } from "../../../src/wire/limits.ts";
import { ok } from "../../sys/support.ts";

const file = openSync(import.meta.path, "r");
const host = {
  mount: 7,
  parent: 0,
  flags: 0,
  rootType: 0o040000,
  device: 1,
  path: "a/\xe4\\",
  type: "tmpfs",
  source: "none",
};
const count = () => readdirSync("/proc/self/fd").length;

function kept(channel: number, own: Partial<KeptChannel> = {}): KeptChannel {
  return { channel, fuseFd: file, host, id: 40 + channel, high: 0xffff_ffff, low: 3, ...own };
}

test("what was put and not removed is found with all that was said of it", () => {
  const store = new ChannelStore();
  store.put(kept(1));
  store.put(kept(2));
  store.put(kept(CHANNELS_MAX));
  store.put(kept(2, { high: 5, low: 6 }));
  const found = ChannelStore.takeAll(ok(dup(store.fd)));
  expect(found.map(({ fuseFd: _, ...rest }) => rest)).toEqual(
    [kept(1), kept(2, { high: 5, low: 6 }), kept(CHANNELS_MAX)].map(
      ({ fuseFd: _, ...rest }) => rest,
    ),
  );
  for (const { fuseFd } of found) {
    expect(fuseFd).not.toBe(file);
    expect(fstatSync(fuseFd).ino).toBe(fstatSync(file).ino);
    close(fuseFd);
  }
  expect(ChannelStore.takeAll(ok(dup(store.fd)))).toEqual([]);
});

test("there is room for all that there may be, and what is gone is let go of", () => {
  const store = new ChannelStore();
  const long = { ...host, path: "\xff".repeat(PATH_MAX) };
  for (let i = 1; i <= CHANNELS_MAX; i++) store.put(kept(i, i < 100 ? { host: long } : {}));
  for (let i = 1; i <= CHANNELS_MAX; i++) if (i % 64 !== 0) store.remove(i);
  const before = count();
  const found = ChannelStore.takeAll(ok(dup(store.fd)));
  const channels = found.map(({ channel }) => channel).filter((channel) => channel % 64 === 0);
  expect(channels).toHaveLength(CHANNELS_MAX / 64);
  // Some that are gone may still be there, but not many.
  expect(found.length).toBeLessThan(4 * (CHANNELS_MAX / 64) + 64);
  for (const { fuseFd } of found) close(fuseFd);
  expect(count()).toBe(before);
});

test("a descriptor that is no store's holds nothing", () => {
  expect(ChannelStore.takeAll(openSync("/dev/null", "r"))).toEqual([]);
});
