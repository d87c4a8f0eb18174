import { expect, test } from "bun:test";
import { type MountSettings, parseMountOptions } from "../../src/cli/mount-options.ts";

const DEFAULTS: MountSettings = {
  servers: [{ kind: "unix", path: "/run/qtfs/server.sock" }],
  readOnly: false,
  cache: "auto",
  proc: false,
  suid: false,
  dev: false,
  deviceFiles: false,
  containsLinks: false,
  noexec: false,
  noatime: false,
  flat: false,
  insecure: false,
  timeoutMs: 30_000,
  hard: false,
  allowOther: true,
};

test("without options nothing dangerous is allowed", () => {
  expect(parseMountOptions([])).toEqual(DEFAULTS);
});

test("devices are closed, this machine's or the server's", () => {
  expect(parseMountOptions(["dev", "dev=server"])).toMatchObject({ dev: false, deviceFiles: true });
  expect(parseMountOptions(["dev=server,dev"])).toMatchObject({ dev: true, deviceFiles: false });
  expect(parseMountOptions(["dev=server,nodev"])).toEqual(DEFAULTS);
  expect(() => parseMountOptions(["dev=client"])).toThrow("mount option dev takes no value");
});

test("links are followed again where that is said last", () => {
  expect(parseMountOptions(["symlinks=contain"])).toMatchObject({ containsLinks: true });
  expect(parseMountOptions(["symlinks=contain,symlinks=follow"])).toEqual(DEFAULTS);
});

test("every option arrives, also from several -o", () => {
  const first =
    "server=tcp://10.0.0.1:7000,ro,cache=never,proc,suid,dev,symlinks=contain,noexec,noatime,flat";
  const second = "insecure,timeout=2.5,hard,fsname=x y,noallow_other";
  expect(parseMountOptions([first, second])).toEqual({
    servers: [{ kind: "tcp", host: "10.0.0.1", port: 7000 }],
    readOnly: true,
    cache: "never",
    proc: true,
    suid: true,
    dev: true,
    deviceFiles: false,
    containsLinks: true,
    noexec: true,
    noatime: true,
    flat: true,
    insecure: true,
    timeoutMs: 2500,
    hard: true,
    fsname: "x y",
    allowOther: false,
  });
});

test("several servers are addresses of the same one", () => {
  const { servers } = parseMountOptions(["server=tcp://10.0.0.1:7000,server=unix:///run/s"]);
  expect(servers).toEqual([
    { kind: "tcp", host: "10.0.0.1", port: 7000 },
    { kind: "unix", path: "/run/s" },
  ]);
});

test("of contrary options the last counts, as in mount(8)", () => {
  const all = "ro,suid,dev,noexec,noatime,noallow_other,rw,nosuid,nodev,exec,atime,allow_other";
  expect(parseMountOptions([all])).toEqual(DEFAULTS);
});

test("what mount(8) and fstab add is passed over", () => {
  const added = "defaults,noauto,user,users,group,owner,_netdev,nofail,relatime,async";
  expect(parseMountOptions([`${added},comment=a,x-a.b=c,X-d,,auto,nouser`])).toEqual(DEFAULTS);
});

test.each([
  ["cahce=auto", "unknown mount option cahce, did you mean cache?"],
  ["toString", "unknown mount option toString"],
  ["procs", "unknown mount option procs, did you mean proc?"],
  ["cache=sometimes", 'mount option cache: it is never, auto, always, not "sometimes"'],
  ["cache", "mount option cache needs a value"],
  ["ro=yes", "mount option ro takes no value"],
  ["timeout=0", 'mount option timeout: it is a number of seconds up to 86400, not "0"'],
  ["timeout=1e9", "mount option timeout"],
  ["timeout=-1", "mount option timeout"],
  ["fsname=", "mount option fsname: it has 1 to 255 bytes"],
  [
    "server=nfs://x",
    'mount option server: Address "nfs://x" must begin with unix://, tcp://, vsock:// or pcie://',
  ],
  ["cache=auto,cache=never", "mount option cache is given twice"],
  ["remount,ro", "a qtfs mount cannot be remounted, umount it first"],
])("%p is refused", (list, sentence) => {
  expect(() => parseMountOptions([list])).toThrow(sentence);
});
