/** A server under test, a mount's session with it, and its client's end of streams, in one loop. */
import { expect } from "bun:test";
import { readlinkSync } from "node:fs";
import { basename } from "node:path";
import { Loop } from "../../src/bridge/loop.ts";
import { BytePump, Shape } from "../../src/bridge/pumpbytes.ts";
import { MessagePump } from "../../src/bridge/pumpmessages.ts";
import { flagsOfPassed } from "../../src/bridge/rights/flags.ts";
import { Rights } from "../../src/bridge/rights/rights.ts";
import type { ShareFiles } from "../../src/bridge/rights/share.ts";
import { BridgeLink } from "../../src/client/twins/bridgelink.ts";
import type { Stream, StreamHandler } from "../../src/session/stream.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { AT_FDCWD, close, O_CLOEXEC, openat } from "../../src/sys/open.ts";
import { SOCK_SEQPACKET, SOCK_STREAM, socketPair } from "../../src/sys/socket.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { SocketType, StreamKind } from "../../src/wire/streams.ts";
import { Talker, turnUntil } from "../bridge/program.ts";
import { helloOf, type RawClient } from "../support/client.ts";
import { type Options, TestServer } from "../support/server.ts";
import { okPair } from "../sys/support.ts";

/** Attributes of an entry, by their place in the answer to LOOKUP. */
export const Entry = { NODE: 0, MODE: 10, UID: 12, GID: 13, RDEV: 14 } as const;

export const CALLER = { uid: 0, gid: 0, groups: [] as number[] };

/** What became of a stream. */
export class Outcome implements StreamHandler {
  errno: number | undefined;
  eof = false;
  closed = false;
  bytes = 0;

  onData(_: Stream, bytes: Uint8Array): void {
    this.bytes += bytes.length;
  }

  onEof(): void {
    this.eof = true;
  }

  onReset(_: Stream, errno: number): void {
    this.errno = errno;
  }

  onOutOfBand(stream: Stream): void {
    stream.consumed(0, 1);
  }

  onWritable(): void {}

  onClosed(): void {
    this.closed = true;
  }
}

export class BridgeRig {
  readonly server: TestServer;
  readonly loop = new Loop();
  readonly mount: RawClient;
  link: BridgeLink;
  readonly log: string[] = [];
  readonly talkers: Talker[] = [];
  readonly fds: number[] = [];
  readonly rights: Rights;

  private constructor(server: TestServer, mount: RawClient) {
    this.server = server;
    this.mount = mount;
    this.link = this.anotherLink(mount.said.session);
    this.rights = this.#passing();
  }

  /** The client's half of what is passed: files are named by keys, the HOST's are its paths. */
  #passing(): Rights {
    const share: ShareFiles = {
      describe: (fd, flags, done) => {
        const name = basename(readlinkSync(`/proc/self/fd/${fd}`));
        const node = this.lookup(name)[Entry.NODE] as number;
        done([this.mount.ok("PASS_OPEN", node, flags)[0] as number]);
      },
      open: ([path], flags, done) => {
        done(openat(AT_FDCWD, cstring(String(path)), flagsOfPassed(flags) | O_CLOEXEC, 0));
      },
      close: (fd) => void close(fd),
    };
    const log = (text: string) => this.log.push(text);
    const rights = new Rights({ loop: this.loop, opener: this.link.end, share, log });
    this.link.end.handle(StreamKind.DESCRIPTOR, rights.take);
    return rights;
  }

  static async start(options: Options = {}): Promise<BridgeRig> {
    const server = await TestServer.start(options);
    return new BridgeRig(server, server.client());
  }

  /** Another client's end, for the mount's session `parent`. */
  anotherLink(parent: string): BridgeLink {
    return new BridgeLink(this.loop, {
      addresses: [parseAddress(`unix://${this.server.address}`)],
      parent,
      facts: helloOf().facts,
      log: (text) => this.log.push(text),
    });
  }

  /** The client's process for streams is another one from now on. */
  relink(): void {
    this.link.close();
    this.link = this.anotherLink(this.mount.said.session);
  }

  until(done: () => boolean, what: string): void {
    turnUntil(this.loop, done, what);
  }

  lookup(name: string): unknown[] {
    return this.mount.ok("LOOKUP", this.mount.root, name);
  }

  /** The key of the socket or FIFO `name`. */
  key(name: string): number {
    return this.mount.ok("TWIN_OPEN", this.lookup(name)[Entry.NODE] as number)[0] as number;
  }

  /** Binds `name` for a program of the client's: node and key. */
  bind(name: string, type: number = SocketType.STREAM): { node: number; key: number } {
    const { mount } = this;
    const results = mount.ok("SOCKET_BIND", mount.root, name, 0o755, 0o022, 0, 0, -1, type);
    return { node: results[0] as number, key: results.at(-1) as number };
  }

  /** Opens a stream to `key` for `handler`. */
  open(key: number, handler: StreamHandler, type: number = SocketType.STREAM): Stream {
    const { uid, gid, groups } = CALLER;
    return this.openAs([key, type, uid, gid, groups, 1], handler);
  }

  openAs(description: readonly unknown[], handler: StreamHandler): Stream {
    const open = () => this.link.end.open(StreamKind.CONNECT, description, handler);
    let stream = open();
    while (stream === undefined) {
      this.loop.turn(5);
      stream = open();
    }
    return stream;
  }

  /** A program of the client's that is connected to `key`, as `uid` and `gid`. */
  connect(key: number, uid = 0, gid = 0, groups: number[] = []): Talker {
    const [fd, talker] = this.#pair();
    const pump = new BytePump({ loop: this.loop, fd, shape: Shape.SOCKET });
    const description = [key, SocketType.STREAM, uid, gid, groups, 1];
    pump.start(this.openAs(description, pump));
    return talker;
  }

  /** The client's end of messages to `key`, a socket of `type`, and who carries what is passed. */
  messages(key: number, type: number, kind: number = StreamKind.CONNECT): number {
    const [near, far] = okPair(socketPair(SOCK_SEQPACKET));
    const { loop } = this;
    const pump = new MessagePump({
      ...{ loop, fd: near, type: SOCK_SEQPACKET, ancillary: this.rights.carrier("a test") },
    });
    const who = [0, 0, [], 1];
    const isConnect = kind === StreamKind.CONNECT;
    const description = isConnect ? [key, type, ...who] : [key, ...who, Buffer.alloc(0)];
    const stream = this.link.end.open(kind, description, pump);
    if (stream === undefined) throw new Error("no stream");
    pump.start(stream);
    this.fds.push(far);
    return far;
  }

  /** Joins streams that the server opens to programs of the client's, which are given to `take`. */
  serve(take: (talker: Talker, description: readonly unknown[]) => void): void {
    this.link.end.handle(StreamKind.INCOMING, (stream, description) => {
      const [fd, talker] = this.#pair();
      const pump = new BytePump({ loop: this.loop, fd, shape: Shape.SOCKET });
      pump.start(stream);
      take(talker, description);
      return pump;
    });
  }

  #pair(): [fd: number, talker: Talker] {
    const fds = socketPair(SOCK_STREAM);
    if (typeof fds === "number") throw new Error(`socketpair: errno ${-fds}`);
    const talker = new Talker(this.loop, fds[1]);
    this.talkers.push(talker);
    return [fds[0], talker];
  }

  /** Breaks the connection for streams, as a network does. */
  cut(): void {
    this.link.end.disconnect();
    this.link.disconnected();
  }

  async stop(): Promise<void> {
    for (const talker of this.talkers) talker.close();
    for (const fd of this.fds) close(fd);
    this.link.close();
    expect(await this.server.stop()).toBe(0);
    this.loop.close();
  }
}
