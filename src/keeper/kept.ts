/**
 * What every keeper is: a process that has what belongs to a server and is to outlive it. When
 * the server is gone, however it went, the keeper goes on until another one comes, which
 * listens at the same addresses.
 *
 * It ends when it has nothing to keep and no server. Without a server it keeps what it has for
 * the lease.
 */
import { lstatSync, rmSync } from "node:fs";
import type { Loop } from "../bridge/loop.ts";
import { EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { setNonBlocking } from "../sys/open.ts";
import { openSignalPipe } from "../sys/signalpipe.ts";
import { SIGHUP, SIGINT, SIGTERM } from "../sys/signals.ts";
import { accept } from "../sys/socket.ts";
import { Channel, LINE_MAX } from "./channel.ts";
import { KEEPER_FD } from "./start.ts";

/** Lines of the log that are kept while there is no server. */
const LINES_MAX = 10_000;

/** A line for the server's log; `atMs`: when it was (epoch). */
export interface LogLine {
  kind: "log";
  level: "info" | "warn";
  text: string;
  atMs: number;
}

/** What a server says last. */
export type Parting =
  /** It ends, and another one may come: what there is goes on. */
  | { kind: "leave" }
  /** It ends, and so does all there is: answered by "done". */
  | { kind: "end" };

/** What every keeper says. */
type Says = LogLine | { kind: "done" };

/** A keeper's end of the connection to a server. */
export type ServerChannel<Out, In> = Channel<Out | Parting, In | Says>;

/** What is kept. */
export interface Keeping<Out, In> {
  /** Whether there is nothing to keep. */
  readonly isIdle: boolean;
  readonly leaseMs: number;
  /** A server has come: it is told first of all what there is. */
  came(server: ServerChannel<Out, In>): void;
  /** A server has said something, and `fd` (-1: none) came with it, which is owned from now on. */
  heard(message: Out, fd: number): void;
  /** All of it ends, or what is not to wait for another server. */
  end(which: "all" | "unkept"): void;
  /** The keeper ends. */
  close(): void;
}

/** `Out`: what servers say beside parting; `In`: what they are told beside the log. */
export class Keeper<Out extends { kind: string }, In extends { kind: string }> {
  readonly #loop: Loop;
  readonly #path: string;
  /** What tells its socket's file from one that another has made there. */
  readonly #file: string;
  readonly #keeping: Keeping<Out, In>;
  #server: ServerChannel<Out, In> | undefined;
  #lines: LogLine[] = [];
  #lostLines = 0;
  #cancelLease: (() => void) | undefined;
  /** A server that has died, not left, is likely to come again at once. */
  #awaitsServer = true;

  /** `path`: the name of its socket, which is KEEPER_FD; `keeping` is asked for when it runs. */
  constructor(loop: Loop, path: string, keeping: (keeper: Keeper<Out, In>) => Keeping<Out, In>) {
    this.#loop = loop;
    this.#path = path;
    this.#file = fileAt(path);
    this.#keeping = keeping(this);
  }

  get isServed(): boolean {
    return this.#server !== undefined;
  }

  /** Tells the server, where there is one. */
  tell(message: In): void {
    this.#server?.send(message);
  }

  /** Says something in the server's log, or in that of the next one. */
  log(level: "info" | "warn", text: string): void {
    const line: LogLine = { kind: "log", level, text: text.slice(0, LINE_MAX), atMs: Date.now() };
    if (this.#server !== undefined) this.#server.send(line);
    else if (this.#lines.length < LINES_MAX) this.#lines.push(line);
    else this.#lostLines++;
  }

  /** Serves until there is nothing to keep and no server; `files` are removed with its socket. */
  run(files: readonly string[] = []): void {
    const loop = this.#loop;
    setNonBlocking(KEEPER_FD, true);
    loop.add(KEEPER_FD, EPOLLIN, { onEvents: () => this.#accept() });
    const signalFd = openSignalPipe([SIGTERM, SIGINT, SIGHUP]);
    loop.add(signalFd, EPOLLIN, {
      onEvents: () => {
        loop.remove(signalFd);
        this.log("warn", "The keeper was told to end by a signal: what it has ends");
        this.#awaitsServer = false;
        this.#keeping.end("all");
      },
    });
    loop.beforeSleep(() => this.#beforeSleep());
    this.#startLease();
    loop.run();
    this.#keeping.close();
    if (fileAt(this.#path) !== this.#file) return;
    for (const path of [...files, this.#path]) rmSync(path, { force: true });
  }

  /** Takes what the server has said by now. */
  hear(): void {
    const server = this.#server;
    if (server === undefined) return;
    server.flush();
    for (let one = server.receive(); one !== undefined; one = server.receive()) {
      if (isParting(one)) this.#parts(server, one);
      else this.#keeping.heard(one, server.received);
    }
    if (server.isOver && server === this.#server) this.#left();
  }

  /** A server has come: it replaces the one before. */
  #accept(): void {
    const fd = accept(KEEPER_FD);
    if (fd < 0) return;
    // What the one before has said counts, though it may be dead.
    this.hear();
    this.#part();
    this.#cancelLease?.();
    this.#cancelLease = undefined;
    this.#awaitsServer = true;
    const server: ServerChannel<Out, In> = new Channel(fd);
    this.#server = server;
    this.#loop.add(fd, EPOLLIN, { onEvents: () => this.hear() });
    this.#keeping.came(server);
    const lines = this.#lines.splice(0);
    if (this.#lostLines > 0) {
      this.log("warn", `${this.#lostLines} lines were lost while there was no server`);
    }
    this.#lostLines = 0;
    for (const line of lines) server.send(line);
  }

  #parts(server: ServerChannel<Out, In>, { kind }: Parting): void {
    this.#awaitsServer = false;
    if (kind === "leave") return;
    this.#keeping.end("all");
    server.send({ kind: "done" });
  }

  /** The server is gone. */
  #left(): void {
    this.#part();
    this.#startLease();
  }

  #part(): void {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#loop.remove(server.fd);
    server.close();
  }

  #startLease(): void {
    this.#cancelLease = this.#loop.after(this.#keeping.leaseMs, () => {
      this.#awaitsServer = false;
      this.#keeping.end("unkept");
    });
  }

  #beforeSleep(): boolean {
    const server = this.#server;
    if (server === undefined) {
      if (!this.#awaitsServer && this.#keeping.isIdle) this.#loop.stop();
      return false;
    }
    if (server.isOver) {
      // As found by sending: no event tells of it any more.
      this.#left();
      return true;
    }
    this.#loop.modify(server.fd, server.waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return false;
  }
}

function isParting(message: { kind: string }): message is Parting {
  return message.kind === "leave" || message.kind === "end";
}

function fileAt(path: string): string {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino} ${stats.ctimeNs}`;
}
