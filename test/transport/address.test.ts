/** Addresses as users write them. */
import { expect, test } from "bun:test";
import { type Address, formatAddress, parseAddress } from "../../src/transport/address.ts";

test.each<[string, Address]>([
  ["unix:///run/qtfs/server.sock", { kind: "unix", path: "/run/qtfs/server.sock" }],
  ["tcp://127.0.0.1:4711", { kind: "tcp", host: "127.0.0.1", port: 4711 }],
  ["tcp://host.example:1", { kind: "tcp", host: "host.example", port: 1 }],
  ["vsock://3:7000", { kind: "vsock", cid: 3, port: 7000 }],
  ["vsock://any:7000", { kind: "vsock", cid: 0xffff_ffff, port: 7000 }],
  ["pcie:///dev/shm/bar", { kind: "pcie", path: "/dev/shm/bar", port: 0 }],
  ["pcie:///dev/shm/bar:15", { kind: "pcie", path: "/dev/shm/bar", port: 15 }],
  ["pcie://0000:00:04.0", { kind: "pcie", path: "/sys/bus/pci/devices/0000:00:04.0", port: 0 }],
  ["pcie://0000:00:04.0:1", { kind: "pcie", path: "/sys/bus/pci/devices/0000:00:04.0", port: 1 }],
  ["tcp://[::1]:65535", { kind: "tcp", host: "::1", port: 65535 }],
])("%s", (text, address) => {
  expect(parseAddress(text)).toEqual(address);
  expect(formatAddress(address)).toBe(text);
});

test("a bare path is a unix socket's", () => {
  expect(parseAddress("/tmp/s")).toEqual({ kind: "unix", path: "/tmp/s" });
});

test.each([
  ["unix://relative", "absolute path"],
  [`unix:///${"x".repeat(107)}`, "longer than"],
  ["tcp://host", "tcp://host:port"],
  ["tcp://host:0", "tcp://host:port"],
  ["tcp://host:65536", "tcp://host:port"],
  ["tcp://:80", "tcp://host:port"],
  ["tcp://::1:80", "tcp://host:port"],
  ["tcp://host:80/path", "tcp://host:port"],
  ["vsock://3", "vsock://CID:PORT"],
  ["vsock://host:7000", "vsock://CID:PORT"],
  ["vsock://3:4294967295", "vsock://CID:PORT"],
  ["vsock://4294967296:1", "vsock://CID:PORT"],
  ["pcie://relative", "pcie:///path"],
  ["pcie:///path:16", "pcie:///path"],
  ["pcie://00:04.0", "pcie:///path"],
  ["http://host:80", "must begin with"],
  ["", "must begin with"],
])("%p is refused with what it lacks", (text, sentence) => {
  expect(() => parseAddress(text)).toThrow(sentence);
  expect(() => parseAddress(text)).toThrow(`"${text}"`);
});

test("a path of as many bytes as a socket's name may have, and one more", () => {
  expect(() => parseAddress(`/${"x".repeat(106)}`)).not.toThrow();
  expect(() => parseAddress(`/${"é".repeat(53)}x`)).toThrow("longer than");
});
