/**
 * A rexec-server's keeper as the server sees it: found where another server has left it, or
 * started; given the rules and the clients; replaced when it was killed.
 */
import { rmSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { BUILD } from "../../info/facts.ts";
import { Channel } from "../../keeper/channel.ts";
import { awaitEnd, reachKeeper, startKeeper, Tries } from "../../keeper/start.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import type { ClientHello } from "../../wire/hello.ts";
import { PROGRAMS_MAX } from "../../wire/limits.ts";
import type { FromKeeper, ToKeeper } from "./channel.ts";
import type { Client } from "./client.ts";
import { KEEPER_NAME } from "./place.ts";
import type { ProgramReport } from "./register.ts";
import type { Rule } from "./rules.ts";

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
  #isOwnRelease = false;
  #waiting: Waiting[] = [];
  readonly #tries = new Tries();
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

  /** A client's connection (Client.relay) was closed at the other end. */
  closed(relay: string): void {
    // One of another release may not know what that is.
    if (this.#isThere && this.#isOwnRelease) this.#channel.send({ kind: "closed", relay });
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
    this.#tries.next();
    const { command, loop, path, rules, leaseMs } = this.#options;
    const { fd, listenFd } = reachKeeper(path);
    if (listenFd >= 0) awaitEnd(loop, startKeeper(KEEPER_NAME, command, path, listenFd));
    const channel = new Channel<FromKeeper, ToKeeper>(fd);
    for (const rule of rules) channel.send({ kind: "rule", rule });
    channel.send({ kind: "serve", leaseMs });
    loop.add(fd, EPOLLIN, { onEvents: () => this.#hear(channel) });
    return channel;
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
    this.#isOwnRelease = build === BUILD;
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
