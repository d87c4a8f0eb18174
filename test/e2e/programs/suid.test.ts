import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { type RunOptions, run, sh } from "../support/run.ts";

const NOBODY = 65534;
const OWNER = 1234;
const asNobody: RunOptions = { uid: NOBODY };

const IDENTITY = `
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  printf("%d %d ", (int)geteuid(), (int)getegid());
  while (status && fgets(line, sizeof line, status))
    if (!strncmp(line, "CapEff:", 7)) printf("%s", line + 8);
  return 0;
}`;
const NO_CAPABILITY = "0000000000000000";
const NET_RAW = "0000000000002000";

const share = await mountTree({ options: ["suid", "dev"] });
afterAll(share.close);
const program = (name: string) => `${share.mountpoint}/${name}`;
const identity = async (name: string) => (await sh(program(name), asNobody)).trim();

beforeAll(async () => {
  writeFileSync(`${share.bare}/identity.c`, IDENTITY);
  await sh(
    `cc -o plain ${share.bare}/identity.c
     for name in root owner group capable; do cp plain $name; done
     chmod 4755 root
     chown ${OWNER}:${OWNER} owner group && chmod 4755 owner && chmod 2755 group
     setcap cap_net_raw+ep capable
     mknod -m 0666 null c 1 3`,
    { cwd: share.mountpoint },
  );
});

test("with suid and dev: set-user-ID, set-group-ID, capabilities and devices work", async () => {
  expect(await identity("plain")).toBe(`${NOBODY} ${NOBODY} ${NO_CAPABILITY}`);
  expect(await identity("root")).toStartWith(`0 ${NOBODY} `);
  expect(await identity("owner")).toBe(`${OWNER} ${NOBODY} ${NO_CAPABILITY}`);
  expect(await identity("group")).toBe(`${NOBODY} ${OWNER} ${NO_CAPABILITY}`);
  expect(await identity("capable")).toBe(`${NOBODY} ${NOBODY} ${NET_RAW}`);
  await sh(`echo gone > ${program("null")}`, asNobody);
});

test("without them: the same files give nothing", async () => {
  await share.umount();
  await share.mount([]);
  for (const name of ["plain", "root", "owner", "group", "capable"]) {
    expect(await identity(name)).toBe(`${NOBODY} ${NOBODY} ${NO_CAPABILITY}`);
  }
  const opened = await run(["cat", program("null")], asNobody);
  expect(opened.stderr).toContain("Permission denied");
});

test("a write by another user takes the set-user-ID bit away", async () => {
  await sh(`cp --preserve=mode ${program("root")} ${program("worn")}`);
  await sh(`chmod 6777 ${program("worn")}`);
  await sh(`echo more >> ${program("worn")}`, asNobody);
  expect(await sh(`stat -c %a ${program("worn")} ${share.tree}/worn`)).toBe("777\n777\n");
});
