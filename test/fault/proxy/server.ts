/** The proxy itself: one thread, one poll(2), all connections and what is being done to them. */

import { close } from "../../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import { accept, tuneTcp } from "../../../src/sys/socket.ts";
import type { Address } from "../../../src/transport/address.ts";
import type { Random } from "../../support/random.ts";
import { nowMs } from "./clock.ts";
import { type Command, type Down, describeFault, type Report } from "./faults.ts";
import { spoilPrefix } from "./frames.ts";
import { Link } from "./link.ts";
import { FULL_PACE, type Inspect, type Pace, type Pipe } from "./pipe.ts";
import { connectTo, listenAt, reset, say } from "./socket.ts";

const DESCRIPTORS_MAX = 1024;
const WHOLE = (bytes: Buffer) => ({ pass: bytes.length, last: false });

type Armed = Extract<Command, { fault: "truncate" | "corrupt" }>;

export interface ProxyOptions {
  listen: Address;
  server: Address;
  random: Random;
  report(report: Report): void;
  /** The descriptor of the commands, and what is called when it is readable. */
  control: number;
  onControl(): void;
}

export class FaultProxy {
  readonly #options: ProxyOptions;
  readonly #polls = new PollSet(DESCRIPTORS_MAX);
  #listener: number;
  #links: Link[] = [];
  /** Connections of clients while the link is silent. */
  readonly #idle = new Set<number>();
  #timers: { atMs: number; run: () => void }[] = [];
  #down: Down | undefined;
  #pace: Pace = FULL_PACE;
  /** Commands that wait for the next frame. */
  readonly #armed: Armed[] = [];
  /** A truncation whose frame has come. */
  #sprung: Extract<Command, { fault: "truncate" }> | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#listener = listenAt(options.listen);
  }

  /** Serves for ever. */
  run(): never {
    this.#report(0, "listening", "");
    for (;;) this.#turn();
  }

  /** Does what a command says, now or at the next frame. */
  obey(command: Command): void {
    const { id } = command;
    if (command.fault === "truncate" || command.fault === "corrupt") {
      this.#armed.push(command);
      return;
    }
    if (command.fault === "cut") {
      this.#cut(command);
      return;
    }
    this.#report(id, "begin", describeFault(command));
    if (command.fault === "stall") this.#stall(command);
    else if (command.fault === "duplicate") this.#duplicate(command);
    else this.#slow(command);
  }

  get #outstanding(): number {
    return this.#links.reduce((sum, link) => sum + link.outstanding, 0);
  }

  #report(id: number, event: Report["event"], text: string, outstanding = this.#outstanding): void {
    this.#options.report({ atMs: nowMs(), id, event, text, outstanding });
  }

  #after(ms: number, run: () => void): void {
    this.#timers.push({ atMs: nowMs() + ms, run });
  }

  #turn(): void {
    const polls = this.#polls;
    polls.clear();
    const control = polls.add(this.#options.control, POLLIN);
    const listener = polls.add(this.#listener, POLLIN);
    for (const link of this.#links) link.watch(polls);
    polls.wait(this.#waitMs());
    for (const link of this.#links) {
      const inspect = (pipe: Pipe) => this.#inspectorOf(link, pipe);
      const last = link.serve(polls, nowMs(), this.#pace, inspect);
      if (last) this.#end(link);
    }
    for (const link of this.#links) if (link.over) link.finish();
    this.#links = this.#links.filter((link) => !link.closed);
    if (this.#listener >= 0 && polls.revents(listener) !== 0) this.#welcome();
    if (polls.revents(control) !== 0) this.#options.onControl();
    this.#fire();
  }

  #waitMs(): number {
    const dues = this.#links.flatMap((link) => [link.toServer.dueMs(), link.toClient.dueMs()]);
    const times = [...dues, ...this.#timers.map((timer) => timer.atMs)];
    const next = Math.min(...times.filter((time) => time !== undefined));
    return next === Infinity ? -1 : Math.max(0, Math.ceil(next - nowMs()));
  }

  #fire(): void {
    const now = nowMs();
    const due = this.#timers.filter(({ atMs }) => atMs <= now);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > now);
    for (const { run } of due) run();
  }

  #welcome(): void {
    for (let fd = accept(this.#listener); fd >= 0; fd = accept(this.#listener)) {
      if (this.#down === "silence") this.#idle.add(fd);
      else if (this.#down === "drop") reset(fd);
      else this.#join(fd);
    }
  }

  #join(client: number): void {
    const { listen, server } = this.#options;
    if (listen.kind === "tcp") tuneTcp(client);
    const fd = connectTo(server);
    if (fd < 0) {
      reset(client);
      return;
    }
    this.#links.push(new Link(client, fd));
  }

  /** What becomes of what comes through `pipe`. */
  #inspectorOf(link: Link, pipe: Pipe): Inspect {
    const toward = pipe === link.toServer ? "server" : "client";
    return (bytes, starts) => {
      const [first] = starts;
      if (toward === "server" && first?.at === 0) link.keepGreeting(bytes, first.length);
      const index = this.#armed.findIndex((command) => command.toward === toward);
      if (index < 0 || starts.length === 0) return WHOLE(bytes);
      const [armed] = this.#armed.splice(index, 1) as [Armed];
      const { random } = this.#options;
      const start = random.pick(starts);
      if (armed.fault === "corrupt") {
        spoilPrefix(bytes, start.at, armed.what);
        this.#report(armed.id, "begin", describeFault(armed));
        return WHOLE(bytes);
      }
      this.#sprung = armed;
      const there = Math.min(start.length, bytes.length - start.at);
      return { pass: start.at + 1 + random.below(there - 1), last: true };
    };
  }

  /** The chunk that a truncation waited for has been taken in part: sends that part, and cuts. */
  #end(link: Link): void {
    const command = this.#sprung;
    if (command === undefined) return;
    this.#sprung = undefined;
    link.flush(Infinity, FULL_PACE);
    this.#cut(command);
  }

  #cut(command: Extract<Command, { fault: "cut" | "truncate" }>): void {
    const { id, how, downMs, down } = command;
    const outstanding = this.#outstanding;
    for (const link of this.#links) link.close(how === "reset" ? reset : close);
    this.#links = [];
    if (downMs > 0) {
      this.#down = down;
      if (down === "refuse" && this.#listener >= 0) close(this.#listener);
      if (down === "refuse") this.#listener = -1;
      this.#after(downMs, () => this.#up(id));
    }
    // Whoever hears of it must find it done.
    this.#report(id, "begin", describeFault(command), outstanding);
    if (downMs <= 0) this.#report(id, "end", "");
  }

  #up(id: number): void {
    this.#down = undefined;
    if (this.#listener < 0) this.#listener = listenAt(this.#options.listen);
    for (const fd of this.#idle) reset(fd);
    this.#idle.clear();
    this.#report(id, "end", "");
  }

  #stall({ id, toward, forMs, after }: Extract<Command, { fault: "stall" }>): void {
    const links = [...this.#links];
    const stall = (stalled: boolean) => {
      for (const link of links) {
        if (toward !== "client") link.toServer.stalled = stalled;
        if (toward !== "server") link.toClient.stalled = stalled;
      }
    };
    stall(true);
    this.#after(forMs, () => {
      stall(false);
      if (after === "cut") for (const link of links) link.close(reset);
      this.#report(id, "end", "");
    });
  }

  #duplicate({ id, forMs }: Extract<Command, { fault: "duplicate" }>): void {
    const doubles = this.#links.map((link) => {
      const fd = connectTo(this.#options.server);
      if (fd >= 0) say(fd, link.greeting);
      return fd;
    });
    this.#after(forMs, () => {
      for (const fd of doubles) if (fd >= 0) reset(fd);
      this.#report(id, "end", "");
    });
  }

  #slow(command: Extract<Command, { fault: "delay" | "trickle" }>): void {
    const { delayMs, bytesPerMs } = FULL_PACE;
    this.#pace =
      command.fault === "delay"
        ? { delayMs: command.delayMs, bytesPerMs }
        : { delayMs, bytesPerMs: command.bytesPerMs };
    this.#after(command.forMs, () => {
      this.#pace = FULL_PACE;
      this.#report(command.id, "end", "");
    });
  }
}
