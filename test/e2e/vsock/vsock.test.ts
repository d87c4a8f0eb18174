/**
 * vsock://, over the kernel's loopback (vsock_loopback) where this kernel has it; everywhere,
 * that what cannot be reached or listened at is said in a sentence.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { close } from "../../../src/sys/open.ts";
import { VMADDR_CID_ANY } from "../../../src/sys/sockaddr.ts";
import { listenVsock } from "../../../src/sys/vsock.ts";
import { connectTo } from "../../../src/transport/endpoint.ts";
import { until } from "../support/program.ts";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

/** VMADDR_CID_LOCAL of linux/vm_sockets.h: this machine. */
const SELF = 1;
const PROBE_PORT = 47_110;
const PORT = 47_111;
const directory = mkdtempSync(`${tmpdir()}/vsock-`);
let server: Bun.Subprocess | undefined;
let log = "";

function hasLoopback(): boolean {
  const modprobe = Bun.which("modprobe");
  if (modprobe !== null) Bun.spawnSync([modprobe, "-q", "vsock_loopback"]);
  const listener = listenVsock(VMADDR_CID_ANY, PROBE_PORT, 1);
  if (listener < 0) return false;
  const fd = connectTo({ kind: "vsock", cid: SELF, port: PROBE_PORT });
  if (fd >= 0) close(fd);
  close(listener);
  return fd >= 0;
}

async function serve(...options: string[]): Promise<void> {
  await stop();
  log = "";
  const address = `vsock://any:${PORT}`;
  const words = [QTFS, "server", "--listen", address, "--export", `${directory}/tree`, ...options];
  const child = Bun.spawn(words, { stdio: ["ignore", "ignore", "pipe"] });
  server = child;
  (async () => {
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) log += part;
  })();
  await until(
    () => log.includes("Listening at") || child.exitCode !== null,
    () => `the server:\n${log}`,
  );
}

async function stop(): Promise<void> {
  server?.kill();
  await server?.exited;
}

const mount = () =>
  run(
    [
      QTFS,
      "mount",
      "-o",
      `server=vsock://${SELF}:${PORT}`,
      `${directory}/tree`,
      `${directory}/mnt`,
    ],
    {
      timeoutMs: 30_000,
    },
  );

beforeAll(() => {
  for (const name of ["tree", "mnt"]) mkdirSync(`${directory}/${name}`);
  writeFileSync(`${directory}/tree/file`, "text");
});
afterAll(async () => {
  await run(["umount", "-l", `${directory}/mnt`]);
  await stop();
  rmSync(directory, { recursive: true });
});

if (hasLoopback()) {
  test("files by vsock, and who may not connect", async () => {
    await serve("--allow-cid", `${SELF}`);
    expect(await mount()).toMatchObject({ code: 0 });
    expect(await sh(`cat ${directory}/mnt/file`)).toBe("text");
    await sh(`dd if=/dev/urandom of=${directory}/mnt/large bs=1M count=16 status=none
      echo 3 >/proc/sys/vm/drop_caches
      cmp ${directory}/mnt/large ${directory}/tree/large
      umount ${directory}/mnt`);
    await serve("--allow-cid", "77");
    expect((await mount()).code).not.toBe(0);
    expect(log).toContain(`CID ${SELF} is not among those allowed (77)`);
  });
} else {
  test("a machine that cannot be reached is said, and does not hang", async () => {
    const { code, stderr } = await mount();
    expect(code).not.toBe(0);
    expect(stderr).toContain(`vsock://${SELF}:${PORT}`);
  });
}

test("a number that this machine has not", async () => {
  const words = ["--listen", "vsock://4000000000:7000", "--export", `${directory}/tree`];
  const { code, stderr } = await run([QTFS, "server", ...words], { timeoutMs: 30_000 });
  expect(code).toBe(1);
  expect(stderr).toContain("Cannot listen at vsock://4000000000:7000");
});
