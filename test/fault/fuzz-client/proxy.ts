/** A server between a real mount and a real server, which spoils what passes once it is told to. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { headerBytes, Kind, kindOf, payloadBytes } from "../../../src/wire/frame.ts";
import { PREFIX_BYTES } from "../../../src/wire/limits.ts";
import type { Random } from "../../support/random.ts";
import { type Frame, spoil, unsolicited } from "./mutate.ts";
import type { Malice } from "./session.ts";

/** The whole frames at the start of `bytes`, and how long they are. */
function framesIn(bytes: Buffer): { frames: { frame: Frame; bytes: Buffer }[]; length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: { frame: Frame; bytes: Buffer }[] = [];
  let at = 0;
  while (bytes.length - at >= PREFIX_BYTES) {
    const header = at + PREFIX_BYTES + headerBytes(view, at);
    const end = header + payloadBytes(view, at);
    if (end > bytes.length) break;
    const frame = {
      kind: kindOf(view, at),
      header: bytes.subarray(at + PREFIX_BYTES, header),
      payload: bytes.subarray(header, end),
    };
    frames.push({ frame, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return { frames, length: at };
}

export class HostileProxy {
  /** Spoils nothing until this is set: the handshake is honest. */
  armed = false;
  hostile = 0;
  readonly #listener: Server;
  readonly #sockets: Socket[] = [];
  readonly #random: Random;
  readonly #malice: Malice;

  constructor(path: string, upstream: string, random: Random, malice: Malice) {
    this.#random = random;
    this.#malice = malice;
    this.#listener = createServer((client) => this.#join(client, connect(upstream)));
    this.#listener.listen(path);
  }

  #join(client: Socket, server: Socket): void {
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.push(one);
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    client.on("data", (bytes) => server.write(bytes));
    let rest = Buffer.alloc(0);
    server.on("data", (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      const { frames, length } = framesIn(rest);
      rest = rest.subarray(length);
      for (const { frame, bytes: honest } of frames) client.write(this.#pass(frame, honest));
    });
  }

  #pass(frame: Frame, honest: Buffer): Buffer {
    const { spoilt, gentle, unsolicited: most } = this.#malice;
    const random = this.#random;
    if (!this.armed || frame.kind !== Kind.REPLY) return honest;
    const uninvited = random.chance(spoilt) ? random.below(most + 1) : 0;
    const more = Array.from({ length: uninvited }, () => unsolicited(random));
    const spoils = random.chance(spoilt);
    this.hostile += more.length + (spoils ? 1 : 0);
    return Buffer.concat([...more, spoils ? spoil(frame, random, gentle) : honest]);
  }

  /** Hangs up and listens no more. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
  }
}
