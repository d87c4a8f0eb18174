/** One connection of a client, and the one to the server that belongs to it. */
import { close } from "../../../src/sys/open.ts";
import { POLLERR, POLLHUP, POLLIN, POLLOUT, type PollSet } from "../../../src/sys/poll.ts";
import { outstanding } from "./frames.ts";
import { type Inspect, type Pace, Pipe } from "./pipe.ts";
import { reset } from "./socket.ts";

/** Of the client's first frame, which is a HELLO; more is not kept. */
const GREETING_MAX = 8192;

export class Link {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  closed = false;
  /** What the client said first, for a connection that says the same. */
  greeting = Buffer.alloc(0);
  readonly #client: number;
  readonly #server: number;
  #clientAt = -1;
  #serverAt = -1;

  constructor(client: number, server: number) {
    this.#client = client;
    this.#server = server;
    this.toServer = new Pipe(client, server);
    this.toClient = new Pipe(server, client);
  }

  get outstanding(): number {
    return outstanding(this.toServer.scanner, this.toClient.scanner);
  }

  /** Adds what it waits for to a poll set. */
  watch(polls: PollSet): void {
    this.#clientAt = this.#add(polls, this.#client, this.toServer, this.toClient);
    this.#serverAt = this.#add(polls, this.#server, this.toClient, this.toServer);
  }

  /** A descriptor nobody asks about is left out: poll(2) would tell of its end for ever. */
  #add(polls: PollSet, fd: number, from: Pipe, to: Pipe): number {
    const events =
      (from.wantsToRead ? POLLIN : 0) | (to.full && !to.stalled && !to.broken ? POLLOUT : 0);
    return polls.add(events === 0 ? -1 : fd, events);
  }

  /** Does what the poll set found; true where the chunk that `inspect` called the last has come. */
  serve(polls: PollSet, nowMs: number, pace: Pace, inspect: (pipe: Pipe) => Inspect): boolean {
    let last = false;
    for (const [at, from, to] of [
      [this.#clientAt, this.toServer, this.toClient],
      [this.#serverAt, this.toClient, this.toServer],
    ] as const) {
      const found = at < 0 ? 0 : polls.revents(at);
      if (found & POLLOUT) to.full = false;
      if (!(found & (POLLIN | POLLHUP | POLLERR)) || !from.wantsToRead) continue;
      last = from.receive(nowMs, pace, inspect(from)) || last;
    }
    this.flush(nowMs, pace);
    return last;
  }

  flush(nowMs: number, pace: Pace): void {
    this.toServer.flush(nowMs, pace);
    this.toClient.flush(nowMs, pace);
  }

  /** Whether one side has gone and nothing is left to be sent. */
  get over(): boolean {
    if (this.toServer.stalled || this.toClient.stalled) return false;
    return this.toServer.done || this.toClient.done;
  }

  /** Keeps the beginning of what the client says. */
  keepGreeting(bytes: Buffer, length: number): void {
    if (this.greeting.length > 0 || length > bytes.length || length > GREETING_MAX) return;
    this.greeting = Buffer.from(bytes.subarray(0, length));
  }

  /** Ends both connections as one of them has ended. */
  finish(): void {
    this.close(this.toServer.wasReset || this.toClient.wasReset ? reset : close);
  }

  /** Ends both connections by `end`: close or reset. */
  close(end: (fd: number) => void): void {
    if (this.closed) return;
    this.closed = true;
    end(this.#client);
    end(this.#server);
  }
}
