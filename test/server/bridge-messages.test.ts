/** Packets, datagrams and what is passed along with data, through a real server. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { MessagePump } from "../../src/bridge/pumpmessages.ts";
import type { Stream, StreamHandler } from "../../src/session/stream.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { pipe2, read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  receivedCredentials,
  receivedFds,
  receivedName,
  receiveMessage,
  sendMessage,
} from "../../src/sys/message.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_NONBLOCK, O_RDONLY, openat } from "../../src/sys/open.ts";
import { accept, SOCK_SEQPACKET, send, socketPair } from "../../src/sys/socket.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../src/sys/sockopt.ts";
import { autobind } from "../../src/sys/unixsocket.ts";
import { SocketType, StreamKind } from "../../src/wire/streams.ts";
import { connected, listening } from "../bridge/program.ts";
import { ok, okPair } from "../sys/support.ts";
import { BridgeRig } from "./bridgerig.ts";

const room = allocate(512 * 1024);
let rig: BridgeRig;
const fds: number[] = [];

beforeEach(async () => {
  rig = await BridgeRig.start({ leaseMs: 20_000 });
});
afterEach(async () => {
  for (const fd of fds.splice(0)) close(fd);
  await rig.stop();
});

function own(fd: number): number {
  fds.push(ok(fd));
  return fd;
}

const say = (fd: number, text: string) => send(fd, room.address, room.bytes.write(text), 0);

/** The next message at `fd`, which has to come. */
function hear(fd: number): string {
  let text: string | undefined;
  const comes = () => {
    const got = receiveMessage(fd, room.address, room.size);
    if (got !== -E.EAGAIN) text = got < 0 ? `errno ${-got}` : room.bytes.toString("utf8", 0, got);
    return text !== undefined;
  };
  rig.until(comes, "a message comes");
  return text as string;
}

function accepted(listener: number): number {
  let fd = -1;
  const comes = () => {
    fd = accept(listener);
    return fd >= 0;
  };
  rig.until(comes, "a connection comes");
  return own(fd);
}

test("packets keep their bounds, both ways, up to the largest", () => {
  const listener = own(listening(rig.server.share, "packets", SocketType.SEQPACKET));
  const near = rig.messages(rig.key("packets"), SocketType.SEQPACKET);
  const far = accepted(listener);
  for (const text of ["one", "two", "x".repeat(100_000)]) {
    say(near, text);
    expect(hear(far)).toBe(text);
    say(far, text);
    expect(hear(near)).toBe(text);
  }
  say(near, "left");
  close(rig.fds.pop() as number);
  expect([hear(far), hear(far)]).toEqual(["left", ""]);
});

test("datagrams reach a socket of the HOST's, with who sent them, and are answered", () => {
  const socket = own(listening(rig.server.share, "notify", SocketType.DGRAM));
  setInt(socket, SOL_SOCKET, SO_PASSCRED, 1);
  const near = rig.messages(rig.key("notify"), SocketType.DGRAM, StreamKind.DATAGRAMS);
  say(near, "READY=1");
  expect(hear(socket)).toBe("READY=1");
  expect(receivedCredentials()).toMatchObject({ uid: 0, gid: 0 });
  const name = receivedName();
  const length = room.bytes.write("thanks");
  expect(sendMessage(socket, room.address, length, { name })).toBe(length);
  expect(hear(near)).toBe("thanks");
});

test("each sender to a socket of the client's is a stream, answers find their way back", () => {
  rig.bind("inbox", SocketType.DGRAM);
  const lines: { fd: number; description: readonly unknown[] }[] = [];
  rig.link.end.handle(StreamKind.INCOMING, (stream: Stream, description): StreamHandler => {
    const [mine, theirs] = okPair(socketPair(SOCK_SEQPACKET));
    const pump = new MessagePump({ loop: rig.loop, fd: theirs, type: SOCK_SEQPACKET });
    pump.start(stream);
    // They lie where frames are received.
    const kept = description.map((one) => (one instanceof Uint8Array ? Buffer.from(one) : one));
    lines.push({ fd: own(mine), description: kept });
    return pump;
  });
  const senders = [1, 2].map(() => {
    const fd = own(connected(rig.server.path("inbox"), SocketType.DGRAM));
    ok(autobind(fd));
    return fd;
  }) as [number, number];
  say(senders[0], "from the first");
  say(senders[1], "from the second");
  rig.until(() => lines.length === 2, "both have a stream");
  const texts = lines.map(({ fd }) => hear(fd));
  expect(texts.sort()).toEqual(["from the first", "from the second"]);
  expect(lines[0]?.description.slice(1, 5)).toEqual([SocketType.DGRAM, 0, 0, process.pid]);
  const [from, to] = (lines[0]?.description.slice(5) ?? []) as Uint8Array[];
  // The sender has no path; what it sends to is where it was bound.
  expect(from).toHaveLength(0);
  expect(Buffer.from(to ?? []).toString()).toEndWith("inbox");
  for (const { fd } of lines) say(fd, "answer");
  expect(senders.map(hear)).toEqual(["answer", "answer"]);
});

test("files of the share and pipes are passed to the HOST, and from there", () => {
  writeFileSync(rig.server.path("file"), "of the share");
  const listener = own(listening(rig.server.share, "packets", SocketType.SEQPACKET));
  const near = rig.messages(rig.key("packets"), SocketType.SEQPACKET);
  const far = accepted(listener);
  const [reads, writes] = okPair(pipe2(O_CLOEXEC | O_NONBLOCK));
  const opened = own(openat(AT_FDCWD, cstring(rig.server.path("file")), O_RDONLY | O_CLOEXEC, 0));
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    room.bytes.write("with");
    expect(sendMessage(from, room.address, 4, { fds: [opened, reads] })).toBe(4);
    expect(hear(to)).toBe("with");
    const [gotFile, gotPipe] = receivedFds().map(own) as [number, number];
    expect(readFileSync(`/proc/self/fd/${gotFile}`, "utf8")).toBe("of the share");
    if (from === far) continue;
    expect(write(writes, room.address, room.bytes.write("through"))).toBe(7);
    let got = 0;
    const comes = () => {
      got = read(gotPipe, room.address, room.size);
      return got > 0;
    };
    rig.until(comes, "it comes through the pipe");
    expect(room.bytes.toString("utf8", 0, got)).toBe("through");
  }
  close(reads);
  close(writes);
});
