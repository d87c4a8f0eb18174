/** containerd's and its shims' ways with FIFOs (containers/main.go), a static Go program, on two machines. */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { sh } from "../support/run.ts";

const REPOSITORY = new URL("../../../", import.meta.url).pathname;
const machines = await Machines.start();
afterAll(() => machines.close());
const program = `${machines.scratch}/containers`;
await sh(`cd ${import.meta.dir}/containers && go build -o ${program} main.go`, {
  env: {
    GO111MODULE: "off",
    GOFLAGS: "",
    CGO_ENABLED: "0",
    GOCACHE: `${REPOSITORY}.cache/go-build`,
  },
});

// containerd is the client here: it runs on the DPU where the HOST serves.
describe.each(machines.ways.filter(({ name }) => name !== "DPU serves HOST"))(
  "$name",
  ({ server, client, directory }) => {
    test("output of a container, whose shim keeps the FIFO open to read", async () => {
      const fifo = `${directory()}/stdout`;
      const daemon = client.spawn([program, "daemon", fifo]);
      await daemon.prints("ready");
      const shim = server.spawn([program, "shim", fifo]);
      expect(await daemon.output()).toBe("ready\n1000 lines\n");
      expect(await shim.output()).toBe("written\n");
    });

    test("input of a container", async () => {
      const fifo = `${directory()}/stdin`;
      const writer = client.spawn([program, "stdin", fifo]);
      const reader = server.spawn([program, "process", fifo]);
      expect(await writer.output()).toBe("written\n");
      expect(await reader.output()).toBe("8890 bytes\n");
    });

    test("closed before it is open: the other end is opened for a moment", async () => {
      for (const machine of [server, client]) {
        const fifo = `${directory()}/closed`;
        expect(await machine.spawn([program, "close", fifo]).output()).toBe("closed\n");
      }
    });
  },
);
