/**
 * A rexec-server's keeper as the server sees it: found where another server has left it, or
 * started; given the rules and the clients; replaced when it was killed.
 */
import { rmSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { BUILD } from "../../info/facts.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { pidfdOpen } from "../../sys/process.ts";
import { connectUnix, listenUnix, SOCK_SEQPACKET } from "../../sys/socket.ts";
import { reap } from "../../sys/spawn.ts";
import type { ClientHello } from "../../wire/hello.ts";
import { PROGRAMS_MAX } from "../../wire/limits.ts";
import { Channel, type FromKeeper, type ToKeeper } from "./channel.ts";
import type { Client } from "./client.ts";
import { startKeeper } from "./keeperstart.ts";
import type { ProgramReport } from "./register.ts";
import type { Rule } from "./rules.ts";

const BACKLOG = 16;
const OWNER_ALONE = 0o600;
/** How many keepers may be needed in a short time: the next ones would do no better. */
const TRIES_MAX = 10;
const TRIES_WITHIN_MS = 10_000;

export interface KeeperLinkOptions {
  readonly loop: Loop;
  /** The name of its socket. */
  readonly path: string;
  /** What starts this program. */
  readonly command: readonly string[];
  readonly rules: readonly Rule[];
  readonly leaseMs: number;
  readonly log: (level: "info" | "warn" | "error", text: string, atMs?: number) => void;
  readonly changed: (report: ProgramReport) => void;
  /** Told of the process that keeps the programs from now on. */
  readonly found: (pid: number) => void;
}

/** A client that waits for the keeper to say that it is there. */
interface Waiting {
  readonly fd: number;
  readonly client: Client;
  readonly hello: ClientHello;
}

export class KeeperLink {
  readonly #options: KeeperLinkOptions;
  #channel: Channel<FromKeeper, ToKeeper>;
  #isThere = false;
  #waiting: Waiting[] = [];
  /** When keepers were looked for. */
  #triedMs: number[] = [];
  #done: (() => void) | undefined;

  constructor(options: KeeperLinkOptions) {
    this.#options = options;
    this.#channel = this.#reach();
    options.loop.beforeSleep(() => this.#beforeSleep());
  }

  /** Gives it a client that has said HELLO by `fd`, which is owned from now on. */
  give(fd: number, client: Client, hello: ClientHello): void {
    if (this.#isThere) this.#channel.send({ kind: "client", client, hello }, fd);
    else if (this.#waiting.length < PROGRAMS_MAX) this.#waiting.push({ fd, client, hello });
    else close(fd);
  }

  /** Clients of this name may not be there any more. */
  revoke(name: string): void {
    if (this.#isThere) this.#channel.send({ kind: "revoked", name });
  }

  /** The server ends: what runs goes on, for another server, or ends; `done` once that is so. */
  part(how: "leave" | "end", done: () => void): void {
    this.#done = done;
    for (const { fd } of this.#waiting.splice(0)) close(fd);
    this.#channel.send({ kind: how });
    if (how === "leave") done();
  }

  /** A channel to the one that is there, or to a new one. */
  #reach(): Channel<FromKeeper, ToKeeper> {
    this.#refuseToGoOn();
    const { loop, path, rules, leaseMs } = this.#options;
    let fd = connectUnix(path, SOCK_SEQPACKET);
    if (fd < 0) {
      this.#start();
      fd = connectUnix(path, SOCK_SEQPACKET);
    }
    if (fd < 0) throw new Error(`Cannot reach the keeper at ${path}: ${errnoText(-fd)}`);
    const channel = new Channel<FromKeeper, ToKeeper>(fd);
    for (const rule of rules) channel.send({ kind: "rule", rule });
    channel.send({ kind: "serve", leaseMs });
    loop.add(fd, EPOLLIN, { onEvents: () => this.#hear(channel) });
    return channel;
  }

  #refuseToGoOn(): void {
    const nowMs = Date.now();
    this.#triedMs = [...this.#triedMs.filter((ms) => ms > nowMs - TRIES_WITHIN_MS), nowMs];
    if (this.#triedMs.length > TRIES_MAX) throw new Error("The keepers end one after another");
  }

  #start(): void {
    const { path, command } = this.#options;
    // From now on servers can connect: they are heard once it is up.
    const fd = listenUnix(path, OWNER_ALONE, BACKLOG, SOCK_SEQPACKET);
    // Another server's keeper has come meanwhile.
    if (fd === -E.EADDRINUSE) return;
    if (fd < 0) throw new Error(`Cannot listen at ${path}: ${errnoText(-fd)}`);
    try {
      this.#awaitEnd(startKeeper(command, path, fd));
    } finally {
      close(fd);
    }
  }

  /** Its parent is to ask how it has ended, or it stays as a zombie. */
  #awaitEnd(pid: number): void {
    const { loop } = this.#options;
    const pidfd = pidfdOpen(pid);
    if (pidfd < 0) return;
    loop.add(pidfd, EPOLLIN, {
      onEvents: () => {
        reap(pidfd);
        loop.remove(pidfd);
        close(pidfd);
      },
    });
  }

  #hear(channel: Channel<FromKeeper, ToKeeper>): void {
    channel.flush();
    for (let one = channel.receive(); one !== undefined; one = channel.receive()) {
      this.#heard(one);
      if (channel !== this.#channel) return;
    }
    if (channel.isOver) this.#lost();
  }

  #heard(message: FromKeeper): void {
    const { log, changed } = this.#options;
    if (message.kind === "hello") this.#greeted(message);
    else if (message.kind === "log") log(message.level, message.text, message.atMs);
    else if (message.kind === "done") this.#done?.();
    else changed(message.report);
  }

  #greeted({ pid, build, isIdle }: Extract<FromKeeper, { kind: "hello" }>): void {
    if (build !== BUILD && isIdle && this.#done === undefined) {
      // One of our own release shall keep what comes now.
      this.#channel.send({ kind: "leave" });
      rmSync(this.#options.path, { force: true });
      this.#renew();
      return;
    }
    const release = build === BUILD ? "" : `, of release ${build}`;
    this.#options.log("info", `Process ${pid}${release} keeps the programs`);
    this.#options.found(pid);
    this.#isThere = true;
    for (const { fd, client, hello } of this.#waiting.splice(0)) this.give(fd, client, hello);
  }

  /** The keeper is gone. */
  #lost(): void {
    if (this.#done !== undefined) {
      this.#done();
      return;
    }
    // It may have been about to end when we came.
    if (this.#isThere) this.#options.log("error", "The keeper of the programs was killed");
    this.#renew();
  }

  #renew(): void {
    this.#isThere = false;
    this.#options.loop.remove(this.#channel.fd);
    this.#channel.close();
    this.#channel = this.#reach();
  }

  #beforeSleep(): boolean {
    const channel = this.#channel;
    if (channel.isOver && this.#done === undefined) {
      this.#lost();
      return true;
    }
    this.#options.loop.modify(channel.fd, channel.waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return false;
  }
}
