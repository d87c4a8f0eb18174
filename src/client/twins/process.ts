/** The twin process: serves the HOST's sockets and FIFOs here, until nobody holds the mount any more. */
import type { BridgeEnd } from "../../bridge/end.ts";
import { Loop } from "../../bridge/loop.ts";
import { DatagramPlaces } from "../../bridge/names.ts";
import { cstring } from "../../sys/cstring.ts";
import { EPOLLIN, EPOLLOUT, EPOLLPRI } from "../../sys/epoll.ts";
import { O_CLOEXEC, O_RDONLY, openat } from "../../sys/open.ts";
import { raiseNoFileLimit, setProcessName } from "../../sys/process.ts";
import { AbstractNames } from "./abstract.ts";
import { BridgeLink } from "./bridgelink.ts";
import { Channel, type FromTwins, type MountNews, type ToTwins } from "./channel.ts";
import { TwinsControl } from "./control.ts";
import { Doorman } from "./doorman.ts";
import { ServedFifos } from "./fifo/fifos.ts";
import { hostOf } from "./fifo/host.ts";
import { reportFifos } from "./fifo/report.ts";
import { MountGround } from "./ground.ts";
import { Incoming } from "./incoming.ts";
import { Listeners } from "./listeners.ts";
import { sharedFiles } from "./passing.ts";
import { Pumps } from "./pumps.ts";
import { pathText, REPORTED_MAX, type StreamReport, type TwinsReport } from "./report.ts";
import type { Answered, Argument, TwinSide } from "./side.ts";
import { TWINS_FD, TWINS_NAME } from "./starter.ts";

/** Serves; the exit code. */
export async function serveTwins(): Promise<number> {
  setProcessName(TWINS_NAME);
  raiseNoFileLimit();
  const loop = new Loop();
  const doorman = await Doorman.start(loop);
  new TwinProcess(loop, doorman).run();
  // Threads that are left would keep the process alive.
  return process.exit(0);
}

class TwinProcess implements TwinSide {
  readonly loop: Loop;
  readonly doorman: Doorman;
  readonly #channel: Channel<ToTwins, FromTwins> = new Channel(TWINS_FD);
  readonly places = new DatagramPlaces();
  readonly #questions = new Map<number, { asked: FromTwins; answered: Answered }>();
  #nextQuestion = 1;
  #mount: MountNews | undefined;
  /** The server's process, by its number, when the first keys were had; and that of the bridge that has them. */
  #firstLives = 0;
  #keysOf: number | undefined;
  #link: BridgeLink | undefined;
  #pumps: Pumps | undefined;
  #listeners: Listeners | undefined;
  #incoming: Incoming | undefined;
  #names: AbstractNames | undefined;
  #fifos: ServedFifos | undefined;

  constructor(loop: Loop, doorman: Doorman) {
    this.loop = loop;
    this.doorman = doorman;
    doorman.onStuck = () => this.tell({ kind: "stuck" });
  }

  get end(): BridgeEnd {
    return (this.#link as BridgeLink).end;
  }

  get pumps(): Pumps {
    return this.#pumps as Pumps;
  }

  run(): void {
    this.tell({ kind: "hello", pid: process.pid, tids: [this.doorman.tid] });
    this.loop.add(TWINS_FD, EPOLLIN, { onEvents: () => this.#hear() });
    this.#watchMounts();
    const control = new TwinsControl(this.loop, () => this.#report());
    if (!this.#channel.isClosed) this.loop.run();
    control.close();
    this.#link?.close();
  }

  tell(message: FromTwins): void {
    this.#channel.send(message);
    // Nobody holds the other end, as found by sending: no event tells of it any more.
    if (this.#channel.isClosed) this.loop.stop();
    if (this.#channel.waits) this.loop.modify(TWINS_FD, EPOLLIN | EPOLLOUT);
  }

  ask(op: number, args: Argument[], answered: Answered): void {
    const id = this.#nextQuestion++;
    const asked: FromTwins = { kind: "ask", id, op, args };
    this.#questions.set(id, { asked, answered });
    this.tell(asked);
  }

  pathHere(path: string): string {
    return this.#mount === undefined ? "" : moved(path, this.#mount.source, this.#mount.target);
  }

  pathThere(path: string): string {
    return this.#mount === undefined ? "" : moved(path, this.#mount.target, this.#mount.source);
  }

  log(level: "info" | "warn" | "error", text: string): void {
    this.tell({ kind: "log", level, text });
  }

  /** Users must not find the mount in use through us once they have unmounted it. */
  #watchMounts(): void {
    const fd = openat(-1, cstring("/proc/self/mountinfo"), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) throw new Error(`Cannot open mountinfo: errno ${-fd}`);
    // Ready in the sense of EPOLLPRI once for each change of the mounts (proc(5)).
    this.loop.add(fd, EPOLLPRI, {
      onEvents: () => {
        this.doorman.ask({ kind: "leave" }, ({ gone = [] }) => {
          for (const channel of gone) this.#leave(channel);
        });
      },
    });
  }

  #report(): TwinsReport {
    const link = this.#link;
    const fifos = reportFifos(this.#fifos?.figures ?? [], this.#mount);
    const meetings = [
      ...(this.#listeners?.report() ?? []),
      ...(this.#incoming?.report() ?? []),
      ...(this.#names?.report() ?? []),
      ...fifos.meetings,
    ];
    const pumps = [this.#listeners, this.#incoming, this.#names].flatMap((one) => {
      return one?.streams() ?? [];
    });
    const streams = pumps.slice(0, REPORTED_MAX).map(([{ figures }, path]): StreamReport => {
      const { ageMs, credit, peer, read, waiting, written } = figures;
      const both = { path: pathText(path), peer, waiting, credit };
      return { ...both, bytesOut: read, bytesIn: written, ageSeconds: ageMs / 1000 };
    });
    streams.push(...fifos.streams.slice(0, REPORTED_MAX - streams.length));
    return {
      pid: process.pid,
      connected: link?.end.connected ?? false,
      resumes: link?.resumes ?? 0,
      losses: link?.losses ?? 0,
      meetingCount: meetings.length,
      streamCount: pumps.length + fifos.streams.length,
      meetings: meetings
        .slice(0, REPORTED_MAX)
        .map((one) => ({ ...one, path: pathText(one.path) })),
      streams,
    };
  }

  #leave(channel: number): void {
    this.#listeners?.leave(channel);
    this.#incoming?.leave(channel);
    this.#fifos?.leave(channel);
  }

  #hear(): void {
    this.#channel.flush();
    if (!this.#channel.waits) this.loop.modify(TWINS_FD, EPOLLIN);
    for (let one = this.#channel.receive(); one !== undefined; one = this.#channel.receive()) {
      this.#heard(one);
    }
    // Nobody holds the other end: the mount has ended.
    if (this.#channel.isClosed) this.loop.stop();
  }

  #heard(message: ToTwins): void {
    switch (message.kind) {
      case "mount":
        this.#news(message);
        break;
      case "list":
        this.tell({ kind: "hello", pid: process.pid, tids: [this.doorman.tid] });
        this.#listeners?.list();
        this.#incoming?.list();
        this.#names?.list();
        // What the process before was asked it has not answered.
        for (const { asked } of this.#questions.values()) this.tell(asked);
        break;
      case "serve":
        this.#serve(message);
        break;
      case "unserve":
        this.#listeners?.unserve(message.node);
        break;
      case "own":
        this.#incoming?.own(message);
        break;
      case "check":
        this.#incoming?.check(message.node);
        break;
      case "name":
        this.#names?.take(message);
        break;
      case "fifoOpens":
        this.#fifos?.opens(message);
        break;
      case "reply": {
        const question = this.#questions.get(message.id);
        this.#questions.delete(message.id);
        question?.answered(message.errno, message.results);
      }
    }
  }

  #serve(message: Extract<ToTwins, { kind: "serve" }>): void {
    const { node } = message;
    // The mount's thread is another one, and does not know yet.
    if (this.#incoming?.has(node)) this.#incoming.list();
    else this.#listeners?.serve(message);
  }

  #news(mount: MountNews): void {
    const before = this.#mount;
    this.#mount = mount;
    if (before === undefined) {
      this.#begin(mount);
      return;
    }
    this.#link?.update(mount.servers, mount.session);
    if (mount.epoch !== before.epoch) {
      this.#listeners?.leave();
      this.#incoming?.leave();
      this.#names?.leave();
      this.#fifos?.leave();
    }
  }

  /** The keys are with the HOST's process `life`: those of another one are gone with it. */
  #keysWith(life: number): void {
    const before = this.#keysOf;
    this.#keysOf = life;
    // A server that was killed before it had a bridge has given keys to nobody.
    const isOther =
      before === undefined ? this.#mount?.lives !== this.#firstLives : life !== before;
    if (!isOther) return;
    for (const one of [this.#listeners, this.#incoming, this.#names]) one?.keysLost();
  }

  #begin({ servers, session, facts, target, source, lives }: MountNews): void {
    this.#firstLives = lives;
    this.doorman.ask({ kind: "mount", target, source }, () => {});
    this.#link = new BridgeLink(this.loop, {
      addresses: servers,
      parent: session,
      facts,
      log: (text) => this.log("warn", text),
    });
    const log = (text: string) => this.log("warn", text);
    const pumps = new Pumps(this.loop, this.#link.end, sharedFiles(this), log);
    this.#pumps = pumps;
    this.#link.onLost(() => pumps.lost());
    this.#link.onKeys((life) => this.#keysWith(life));
    const ground = new MountGround(this);
    this.#listeners = new Listeners(this, ground);
    this.#incoming = new Incoming(this, ground);
    this.#names = new AbstractNames(this);
    this.#fifos = new ServedFifos(hostOf(this));
  }
}

/** What `path`, whose characters are bytes, is below `to` if it is below `from`; "" if it is not. */
function moved(path: string, from: string, to: string): string {
  const [before = "", after = ""] = [from, to].map((one) => {
    return one === "/" ? "" : Buffer.from(one).toString("latin1");
  });
  return path.startsWith(`${before}/`) ? `${after}${path.slice(before.length)}` : "";
}
