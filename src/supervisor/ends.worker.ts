/**
 * A thread of the supervisor that waits for ends of the HOST's processes, a session with each of
 * their servers. A server that is away is looked for until it is there.
 */
import { HostWaits } from "../client/hostwaits.ts";
import { errnoName } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { recv } from "../sys/socket.ts";
import { parseAddress } from "../transport/address.ts";
import { ORDER_MAX, type Target } from "./standin.ts";

/** Servers that it has sessions with, at most. */
const SERVERS_MAX = 16;
/** How long a server may take to say hello, and how soon it is tried again. */
const GREETING_MS = 10_000;
const RETRY_MS = 500;

/** What main gives the thread: the socket that Targets come from. */
export type EndsData = number;

export type FromEnds = { kind: "ended"; target: Target } | { kind: "log"; text: string };

declare const self: {
  onmessage: ((event: { data: EndsData }) => void) | null;
  postMessage(message: FromEnds): void;
};

class Ends {
  readonly #orders: number;
  readonly #buffer = allocate(ORDER_MAX);
  readonly #servers = new Map<string, HostWaits>();

  constructor(orders: number) {
    this.#orders = orders;
  }

  run(): never {
    const polls = new PollSet(1 + SERVERS_MAX);
    while (true) {
      const isAway = this.#connect();
      polls.clear();
      const orders = polls.add(this.#orders, POLLIN);
      for (const { fd } of this.#servers.values()) polls.add(fd, POLLIN);
      polls.wait(isAway ? RETRY_MS : -1);
      for (const waits of this.#servers.values()) this.#try(() => waits.receive());
      if (polls.revents(orders) !== 0) this.#order();
    }
  }

  /** Whether a server is away. */
  #connect(): boolean {
    let isAway = false;
    for (const waits of this.#servers.values()) {
      if (waits.fd >= 0) continue;
      try {
        waits.connect(GREETING_MS);
      } catch {
        // It is said by whoever calls something on the HOST.
        isAway = true;
      }
    }
    return isAway;
  }

  #try(act: () => void): void {
    try {
      act();
    } catch (error) {
      self.postMessage({ kind: "log", text: (error as Error).message });
    }
  }

  #order(): void {
    const { address, size, bytes } = this.#buffer;
    const length = recv(this.#orders, address, size);
    if (length <= 0) return;
    const target = JSON.parse(bytes.toString("utf8", 0, length)) as Target;
    const waits = this.#of(target);
    if (waits === undefined) this.#ended(target, "too many servers");
    else this.#try(() => waits.add(target));
  }

  #of({ server, source }: Target): HostWaits | undefined {
    const known = this.#servers.get(server);
    if (known !== undefined || this.#servers.size >= SERVERS_MAX) return known;
    const addresses = server.split(", ").map(parseAddress);
    const waits = new HostWaits(addresses, source, (process, errno) => {
      this.#ended({ ...process, server, source }, errno === 0 ? undefined : errnoName(errno));
    });
    this.#servers.set(server, waits);
    return waits;
  }

  #ended(target: Target, failure: string | undefined): void {
    if (failure !== undefined) {
      const text = `The end of the HOST's process ${target.pid} cannot be waited for: ${failure}`;
      self.postMessage({ kind: "log", text });
    }
    self.postMessage({ kind: "ended", target });
  }
}

self.onmessage = ({ data }) => new Ends(data).run();
