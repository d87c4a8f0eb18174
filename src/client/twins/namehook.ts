/**
 * Abstract names as the mount's thread sees them: it takes supervisors' calls (namecall.ts), which the
 * twin process decides on, and tells another twin process what is bound here.
 */
import {
  IN_HEADER_SIZE,
  IOCTL_IN,
  IOCTL_IN_SIZE,
  IOCTL_OUT_SIZE,
  Opcode,
} from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { put64 } from "../answers.ts";
import type { Client } from "../client.ts";
import { type BoundName, type FromTwins, nameKey, type ToTwins } from "./channel.ts";
import { NOT_HERE } from "./door.ts";
import { NAME_CALL, NAME_CALL_BYTES, NameAct, NOT_KNOWN, readNameCall } from "./namecall.ts";
import type { Parked } from "./parked.ts";
import type { Twins } from "./twins.ts";

type Asked = Extract<ToTwins, { kind: "name" }>;

/** A call that waits for the twin process. */
interface Waiting {
  readonly asked: Asked;
  readonly parked: Parked;
}

export class TwinNames {
  readonly #client: Client;
  readonly #twins: Twins;
  readonly #waiting = new Map<number, Waiting>();
  /** What is bound here (nameKey). */
  readonly #bound = new Map<string, BoundName>();
  #nextId = 1;

  constructor(client: Client, twins: Twins) {
    this.#client = client;
    this.#twins = twins;
  }

  /** Serves the request in the device's buffer if it is such a call: 0, an errno, or NOT_HERE. */
  serve(): number {
    const c = this.#client;
    if (c.fuse.opcode !== Opcode.IOCTL || c.u32(IOCTL_IN.cmd) !== NAME_CALL) return NOT_HERE;
    if (c.fuse.uid !== 0) return E.EPERM;
    if (c.u32(IOCTL_IN.in_size) !== NAME_CALL_BYTES) return E.EINVAL;
    const call = readNameCall(c.fuse.request.bytes, IN_HEADER_SIZE + IOCTL_IN_SIZE);
    if (call === undefined) return E.EINVAL;
    const { act, name, pid, type } = call;
    const id = this.#nextId++;
    return this.#ask(
      act === NameAct.CONNECT
        ? { kind: "name", id, act: "connect", name, type }
        : { kind: "name", id, act: "bind", name, type, pid, key: 0 },
    );
  }

  #ask(asked: Asked): number {
    const { answerBody, fuse } = this.#client;
    if (!this.#twins.isUsable) return E.EAGAIN;
    put64(fuse.answer.view, answerBody, NOT_KNOWN);
    put64(fuse.answer.view, answerBody + 8, 0);
    const unique = [fuse.uniqueLow, fuse.uniqueHigh] as const;
    const forget = () => this.#waiting.delete(asked.id);
    const parked = this.#twins.parked.parkFor(unique, fuse.pid, IOCTL_OUT_SIZE, forget);
    if (parked === undefined) return E.EAGAIN;
    this.#waiting.set(asked.id, { asked, parked });
    this.#twins.send(asked);
    return 0;
  }

  /** Takes what the twin process says of names. */
  hear(message: Extract<FromTwins, { kind: "named" | "ownsName" | "nameless" }>): void {
    if (message.kind === "ownsName") this.#bound.set(nameKey(message.bound), message.bound);
    else if (message.kind === "nameless") this.#bound.delete(nameKey(message));
    else {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (waiting === undefined) return;
      if (message.errno === 0) waiting.parked.bytes.fill(0);
      this.#twins.parked.end(waiting.parked, message.errno);
    }
  }

  /** There is to be another twin process. */
  begunAnew(): void {
    for (const bound of this.#bound.values()) {
      // Nobody waits for the answer.
      this.#twins.send({ kind: "name", id: this.#nextId++, act: "bind", ...bound });
    }
    for (const { asked } of this.#waiting.values()) this.#twins.send(asked);
  }

  /** There will be no other one. */
  giveUp(): void {
    for (const { parked } of this.#waiting.values()) this.#twins.parked.end(parked, E.EAGAIN);
    this.#waiting.clear();
    this.#bound.clear();
  }

  /** The session is another: the HOST has none of the names. */
  forget(): void {
    this.#waiting.clear();
    this.#bound.clear();
  }
}
