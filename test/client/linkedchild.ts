/**
 * The mount's reactor in a process of its own: `bun linkedchild.ts OPTIONS`, with
 * /dev/fuse as descriptor 3 and the first connection as 4. What it logs and tells
 * goes to standard output, a line of JSON each, and so does what the kernel is to forget.
 */
import { writeSync } from "node:fs";
import { Client } from "../../src/client/client.ts";
import { type Notice, NoticeQueue } from "../../src/client/noticequeue.ts";
import { Reactor } from "../../src/client/reactor.ts";
import { Head } from "../../src/client/record.ts";
import { Orders } from "../../src/client/submounts/orders.ts";
import { FuseDevice } from "../../src/fuse/device.ts";
import { Counters } from "../../src/info/counters.ts";
import { machineFacts } from "../../src/info/facts.ts";
import { eventfd } from "../../src/sys/poll.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { ok } from "../sys/support.ts";

const DEVICE = 3;
const CONNECTION = 4;

const { address, timeoutMs, slots, session } = JSON.parse(process.argv[2] ?? "{}");
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`);
class SaidNotices extends NoticeQueue {
  override put(notice: Notice): void {
    say({ notice: `${notice.kind} ${notice.low} ${notice.name}` });
    super.put(notice);
  }
}
const client = new Client(
  new FuseDevice(DEVICE),
  new SocketTransport(CONNECTION, { description: "the test" }),
  slots,
  "auto",
  { ordinarySeconds: 1, watchedSeconds: 60 },
  new Counters(),
);
client.record.set(Head.EPOCH, 1);
client.record.set(Head.LIVES, 1);
const link = {
  addresses: [parseAddress(address)],
  source: "/host",
  splits: false,
  facts: machineFacts(),
  session,
};
new Reactor(client, {
  timeoutMs,
  notices: new SaidNotices(),
  log: (level, text) => say({ level, text }),
  ready: () => {},
  orders: new Orders(ok(eventfd())),
  mounts: say,
  link: { ...link, tell: say },
}).run();
say({ kind: "done", refused: client.fuse.refused });
