import { expect, test } from "bun:test";
import { E } from "../../src/sys/errno.ts";
import { notify } from "../../src/sys/notify.ts";
import { close } from "../../src/sys/open.ts";
import { bindDatagram, receiveDatagram } from "./datagram.ts";
import { scratch } from "./support.ts";

const { path } = scratch();

test("a state reaches the socket at a path", () => {
  const fd = bindDatagram(path("notify"));
  expect(notify(path("notify"), "READY=1")).toBe(7);
  expect(receiveDatagram(fd)).toBe("READY=1");
  close(fd);
});

test("a state reaches an abstract name", () => {
  const fd = bindDatagram(`\0qtfs-notify-${process.pid}`);
  expect(notify(`@qtfs-notify-${process.pid}`, "STOPPING=1")).toBe(10);
  expect(receiveDatagram(fd)).toBe("STOPPING=1");
  close(fd);
});

test("where nobody listens there is an errno, and no exception", () => {
  expect(notify(path("nobody"), "READY=1")).toBe(-E.ENOENT);
  expect(notify("", "READY=1")).toBe(-E.EINVAL);
  expect(notify(`/${"x".repeat(120)}`, "READY=1")).toBe(-E.EINVAL);
});
