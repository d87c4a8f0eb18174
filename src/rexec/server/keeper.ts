/**
 * The keeper: a process that has the programs of a rexec-server, and all that belongs to
 * them: it is their parent and has their pipes, terminals, streams and sessions, and their
 * clients' connections. The server gives it clients; when that is gone, however it went, the
 * keeper goes on until another one comes, which listens at the same addresses.
 *
 * It ends when it has nothing to keep and no server. Without a server it keeps programs for
 * the lease, as if their clients' connections were lost; those that are to outlive that, on.
 */
import { lstatSync, rmSync } from "node:fs";
import { Loop } from "../../bridge/loop.ts";
import { BUILD, machineFacts } from "../../info/facts.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { setNonBlocking } from "../../sys/open.ts";
import { exitNow, raiseNoFileLimit, setProcessName, umask } from "../../sys/process.ts";
import { openSignalPipe } from "../../sys/signalpipe.ts";
import { SIGHUP, SIGINT, SIGTERM } from "../../sys/signals.ts";
import { accept } from "../../sys/socket.ts";
import { Channel, type FromKeeper, LINE_MAX, type ToKeeper } from "./channel.ts";
import { KeeperControl } from "./control.ts";
import { KEEPER_FD, KEEPER_NAME, slotsPath } from "./place.ts";
import type { Rule } from "./rules.ts";
import { Service } from "./service.ts";
import { ProgramSlots } from "./slots.ts";

/** Lines of the log that are kept while there is no server. */
const LINES_MAX = 10_000;

type LogLine = Extract<FromKeeper, { kind: "log" }>;

/** Serves until it has nothing to keep and no server; `path` is the name of its socket. */
export function serveKeeper(path: string): never {
  setProcessName(KEEPER_NAME);
  raiseNoFileLimit();
  umask(0);
  new Keeper(path).run();
  return exitNow(0);
}

class Keeper {
  readonly #loop = new Loop();
  readonly #path: string;
  /** What tells its socket's file from one that another has made there. */
  readonly #file: string;
  readonly #service: Service;
  #server: Channel<ToKeeper, FromKeeper> | undefined;
  #rules: Rule[] = [];
  #lines: LogLine[] = [];
  #lostLines = 0;
  #cancelLease: (() => void) | undefined;
  /** A server that has died, not left, is likely to come again at once. */
  #awaitsServer = true;

  constructor(path: string) {
    this.#path = path;
    this.#file = fileAt(path);
    this.#service = new Service({
      loop: this.#loop,
      facts: machineFacts(),
      slots: new ProgramSlots(slotsPath(path)),
      groups: process.getgroups?.() ?? [],
      log: (level, text) => this.#log(level, text),
      changed: (report) => this.#server?.send({ kind: "program", report }),
    });
  }

  run(): void {
    const loop = this.#loop;
    setNonBlocking(KEEPER_FD, true);
    loop.add(KEEPER_FD, EPOLLIN, { onEvents: () => this.#accept() });
    const signalFd = openSignalPipe([SIGTERM, SIGINT, SIGHUP]);
    loop.add(signalFd, EPOLLIN, {
      onEvents: () => {
        loop.remove(signalFd);
        this.#log("warn", "The keeper was told to end by a signal: its programs end");
        this.#awaitsServer = false;
        this.#service.end("all");
      },
    });
    const control = new KeeperControl(loop, this.#service, () => this.#server !== undefined);
    loop.beforeSleep(() => this.#beforeSleep());
    this.#startLease();
    loop.run();
    control.close();
    if (fileAt(this.#path) !== this.#file) return;
    rmSync(slotsPath(this.#path), { force: true });
    rmSync(this.#path, { force: true });
  }

  /** A server has come: it replaces the one before. */
  #accept(): void {
    const fd = accept(KEEPER_FD);
    if (fd < 0) return;
    this.#part();
    this.#cancelLease?.();
    this.#cancelLease = undefined;
    this.#awaitsServer = true;
    const server = new Channel<ToKeeper, FromKeeper>(fd);
    this.#server = server;
    this.#rules = [];
    this.#loop.add(fd, EPOLLIN, { onEvents: () => this.#hear(server) });
    const { isIdle, register } = this.#service;
    server.send({ kind: "hello", pid: process.pid, build: BUILD, isIdle });
    for (const report of register.reports().reverse()) server.send({ kind: "program", report });
    const lines = this.#lines.splice(0);
    if (this.#lostLines > 0) {
      this.#log("warn", `${this.#lostLines} lines were lost while there was no rexec-server`);
    }
    this.#lostLines = 0;
    for (const line of lines) server.send(line);
  }

  #hear(server: Channel<ToKeeper, FromKeeper>): void {
    server.flush();
    for (let one = server.receive(); one !== undefined; one = server.receive()) {
      this.#heard(server, one);
    }
    if (server.isOver && server === this.#server) this.#left();
  }

  #heard(server: Channel<ToKeeper, FromKeeper>, message: ToKeeper): void {
    const { received } = server;
    if (message.kind === "rule") this.#rules.push(message.rule);
    else if (message.kind === "serve") this.#service.configure(this.#rules, message.leaseMs);
    else if (message.kind === "revoked") this.#service.revoke(message.name);
    else if (message.kind === "client") {
      // The kernel has closed one for which there was no number.
      if (received < 0) this.#log("warn", "Closed a connection: too many descriptors are open");
      else this.#service.take(received, message.client, message.hello);
    } else {
      this.#awaitsServer = false;
      if (message.kind === "leave") return;
      this.#service.end("all");
      server.send({ kind: "done" });
    }
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
    this.#cancelLease = this.#loop.after(this.#service.leaseMs, () => {
      this.#awaitsServer = false;
      this.#service.end("unkept");
    });
  }

  #log(level: "info" | "warn", text: string): void {
    const line: LogLine = { kind: "log", level, text: text.slice(0, LINE_MAX), atMs: Date.now() };
    if (this.#server !== undefined) this.#server.send(line);
    else if (this.#lines.length < LINES_MAX) this.#lines.push(line);
    else this.#lostLines++;
  }

  #beforeSleep(): boolean {
    const server = this.#server;
    if (server === undefined) {
      if (!this.#awaitsServer && this.#service.isIdle) this.#loop.stop();
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

function fileAt(path: string): string {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino} ${stats.ctimeNs}`;
}
