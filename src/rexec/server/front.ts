/** What a rexec-server does itself: it listens, hears who comes, and gives clients to its keeper. */
import type { Loop } from "../../bridge/loop.ts";
import { checkVersion, Refusal, sayGoodbye } from "../../server/greeting.ts";
import { LogBudget } from "../../server/logbudget.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { accept } from "../../sys/socket.ts";
import { tune } from "../../transport/endpoint.ts";
import { type Listener, refusalOf } from "../../transport/peers.ts";
import { SocketTransport } from "../../transport/socket.ts";
import { Goodbye } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type ClientHello, decodeClientHello } from "../../wire/hello.ts";
import { GREETERS_MAX } from "../../wire/limits.ts";
import { type Client, identifyClient } from "./client.ts";
import { Newcomer } from "./newcomer.ts";

const SOCKET_BUFFER_BYTES = 1024 * 1024;
/** How long to wait where there is no descriptor or memory for a connection. */
const ACCEPT_PAUSE_MS = 50;

export interface FrontOptions {
  readonly loop: Loop;
  readonly listeners: readonly Listener[];
  readonly log: (level: "info" | "warn", text: string) => void;
  /** Goes on with a client that has said HELLO, by `fd`, which is the callee's then. */
  readonly greeted: (fd: number, client: Client, hello: ClientHello) => void;
}

export class Front {
  readonly #options: FrontOptions;
  readonly #newcomers = new Set<Newcomer>();
  readonly #ofPeers = new LogBudget();

  constructor(options: FrontOptions) {
    this.#options = options;
    for (const listener of options.listeners) {
      options.loop.add(listener.fd, EPOLLIN, { onEvents: () => this.#accept(listener) });
    }
  }

  /** Nobody is let in any more. */
  close(): void {
    for (const { fd } of this.#options.listeners) {
      this.#options.loop.remove(fd);
      close(fd);
    }
  }

  #accept(listener: Listener): void {
    const { loop } = this.#options;
    const fd = accept(listener.fd);
    if (fd === -E.EAGAIN) return;
    if (fd < 0) {
      // The connection stays in the queue and would be found again at once.
      loop.modify(listener.fd, 0);
      loop.after(ACCEPT_PAUSE_MS, () => loop.modify(listener.fd, EPOLLIN));
      return;
    }
    const client = identifyClient(fd);
    const reason = refusalOf(fd, listener);
    if (reason !== undefined || this.#newcomers.size >= GREETERS_MAX) {
      const why = reason ?? "too many clients that say nothing";
      const code = reason === undefined ? Goodbye.BUSY : Goodbye.REFUSED;
      this.#refuse(fd, client, new Refusal(code, why));
      return;
    }
    tune(fd, listener.kind, SOCKET_BUFFER_BYTES);
    const newcomer: Newcomer = new Newcomer(loop, fd, client, {
      said: (hello) => {
        this.#newcomers.delete(newcomer);
        this.#greeted(fd, client, hello);
      },
      failed: (error) => {
        this.#newcomers.delete(newcomer);
        this.#refuse(fd, client, error);
      },
      gone: () => this.#newcomers.delete(newcomer),
    });
    this.#newcomers.add(newcomer);
  }

  #greeted(fd: number, client: Client, bytes: Uint8Array): void {
    let hello: ClientHello;
    try {
      hello = decodeClientHello(bytes);
      checkVersion(hello);
      if (hello.role !== "rexec") {
        throw new Refusal(Goodbye.REFUSED, `this is a rexec-server, not one for ${hello.role}`);
      }
    } catch (error) {
      this.#refuse(fd, client, error);
      return;
    }
    this.#options.greeted(fd, client, hello);
  }

  #refuse(fd: number, client: Client, error: unknown): void {
    if (!(error instanceof ProtocolError || error instanceof Refusal)) throw error;
    const { message } = error;
    const line = this.#ofPeers.admit(`Closed the connection of ${client.description}: ${message}`);
    if (line !== undefined) this.#options.log("warn", line);
    const transport = new SocketTransport(fd, client);
    sayGoodbye(transport, error instanceof Refusal ? error.code : Goodbye.PROTOCOL, message);
    transport.release();
  }
}
