/** Who has a FIFO open is looked for without being seen. */
import { afterEach, expect, test } from "bun:test";
import { pollNow } from "../../../../src/bridge/pipeends.ts";
import { close, O_NONBLOCK, O_RDONLY, O_WRONLY } from "../../../../src/sys/open.ts";
import { POLLHUP } from "../../../../src/sys/poll.ts";
import { FifoStage } from "./stage.ts";

let stage = new FifoStage();
afterEach(async () => {
  await stage.close();
  stage = new FifoStage();
});
const LOOKING_MS = 300;

test("nobody has written to a reader, while it is not known yet which inode the FIFO is", () => {
  stage.placingMs = LOOKING_MS / 2;
  const reader = stage.open(stage.dpu, O_RDONLY);
  stage.tellOpened(stage.holder(reader).pid, O_RDONLY | O_NONBLOCK);
  stage.pass(LOOKING_MS, () => expect(pollNow(reader)).toBe(0));
  expect(stage.at).toBe("down, waiting");
  close(reader);
});

test("nobody has written to a reader that another process has given the FIFO to", async () => {
  const reader = stage.open(stage.dpu, O_RDONLY);
  const [first, other] = [stage.holder(reader), stage.holder(reader)];
  stage.tellOpened(first.pid, O_RDONLY | O_NONBLOCK);
  stage.until(() => stage.at === "down, waiting");
  await first.end();
  // Somebody else closes it, and so it is looked who still has it.
  close(stage.open(stage.dpu, O_RDONLY));
  stage.pass(LOOKING_MS, () => expect(pollNow(reader)).toBe(0));
  expect(stage.at).toBe("down, waiting");
  close(reader);
  await other.end();
  stage.until(() => stage.at === undefined);
});

test("writers are gone though what they have written is unread", async () => {
  const reader = stage.open(stage.dpu, O_RDONLY);
  const writer = stage.open(stage.dpu, O_WRONLY);
  const [reads, writes] = [stage.holder(reader), stage.holder(writer)];
  stage.tellOpened(reads.pid, O_RDONLY | O_NONBLOCK);
  stage.tellOpened(writes.pid, O_WRONLY);
  stage.pass(LOOKING_MS / 3);
  // Both ends are held on the HOST then.
  expect(stage.hasWriter(stage.host)).toBe(true);
  stage.write(writer, "unread");
  await writes.end();
  close(writer);
  stage.until(() => !stage.hasWriter(stage.host));
  expect(stage.at).toBe("down, waiting");
  close(reader);
});

test("nobody has written to a reader that came when the last writer had gone", async () => {
  const before = stage.open(stage.dpu, O_RDONLY);
  const writer = stage.open(stage.dpu, O_WRONLY);
  const [reads, writes] = [stage.holder(before), stage.holder(writer)];
  stage.tellOpened(reads.pid, O_RDONLY | O_NONBLOCK);
  stage.tellOpened(writes.pid, O_WRONLY);
  stage.until(() => stage.at === "down, waiting");
  stage.pass(LOOKING_MS / 3);
  await writes.end();
  close(writer);
  const reader = stage.open(stage.dpu, O_RDONLY);
  stage.pass(LOOKING_MS, () => expect(pollNow(reader)).toBe(0));
  expect(pollNow(before)).toBe(POLLHUP);
  close(before);
  close(reader);
});
