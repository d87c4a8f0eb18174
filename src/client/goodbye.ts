/** The end of a session that is over. */
import { POLLIN, PollSet } from "../sys/poll.ts";
import type { Transport } from "../transport/transport.ts";
import { Goodbye } from "../wire/constants.ts";
import { Kind } from "../wire/frame.ts";

/** How long a server may take to hang up after our goodbye. */
const GOODBYE_MS = 200;
const NS_PER_MS = 1e6;

/**
 * Tells the server that the session ends, and waits a moment until it has heard:
 * closed at once, with answers still unread, the connection could break before.
 */
export function sayGoodbye(transport: Transport): void {
  const w = transport.begin(Kind.GOODBYE);
  w.array(2);
  w.uint(Goodbye.DONE);
  w.latin1("unmounted");
  transport.end();
  transport.flush();
  const polls = new PollSet(1);
  polls.add(transport.fd, POLLIN);
  const untilNs = Bun.nanoseconds() + GOODBYE_MS * NS_PER_MS;
  while (!transport.closed && Bun.nanoseconds() < untilNs) {
    polls.wait(GOODBYE_MS);
    if (transport.receive() > 0) transport.dropPeeked();
  }
  transport.close();
}
