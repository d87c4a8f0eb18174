/** A keeper between two servers, in a process of its own: keptprocess.ts. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Channel } from "../../src/keeper/channel.ts";
import { reachKeeper, startKeeper } from "../../src/keeper/start.ts";
import { kill } from "../../src/sys/process.ts";
import { SIGCONT, SIGKILL, SIGSTOP } from "../../src/sys/signals.ts";
import { connectUnix, SOCK_SEQPACKET } from "../../src/sys/socket.ts";
import { until } from "../support/server.ts";

interface Message {
  kind: string;
  n: number;
}

const directory = mkdtempSync(join(tmpdir(), "qtfs-kept-"));
let pid = 0;
afterEach(() => {
  if (pid > 0) kill(pid, SIGKILL);
  rmSync(directory, { recursive: true, force: true });
});

async function next(channel: Channel<Message, Message>): Promise<Message> {
  let got: Message | undefined;
  await until(() => {
    got = channel.receive();
    return got !== undefined || channel.isOver;
  }, "a message comes");
  if (got === undefined) throw new Error("the keeper is gone");
  return got;
}

test("what a server has said counts, though the next one has come by then", async () => {
  const path = `${directory}/keeper.sock`;
  const { fd, listenFd } = reachKeeper(path);
  const script = new URL("./keptprocess.ts", import.meta.url).pathname;
  pid = startKeeper("kept", [process.execPath, script], path, listenFd);
  const first = new Channel<Message, Message>(fd);
  expect(await next(first)).toEqual({ kind: "sum", n: 0 });
  // It hears of all that follows at once.
  expect(kill(pid, SIGSTOP)).toBe(0);
  const again = connectUnix(path, SOCK_SEQPACKET);
  expect(again).toBeGreaterThanOrEqual(0);
  for (let n = 1; n <= 10; n++) first.send({ kind: "add", n });
  first.close();
  const second = new Channel<Message, Message>(again);
  expect(kill(pid, SIGCONT)).toBe(0);
  expect(await next(second)).toEqual({ kind: "sum", n: 55 });
  second.send({ kind: "leave", n: 0 });
  second.close();
  await until(() => !existsSync(path), "it has ended");
});
