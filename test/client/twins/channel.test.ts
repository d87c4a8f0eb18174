import { afterEach, describe, expect, test } from "bun:test";
import { Channel, twinChannel } from "../../../src/client/twins/channel.ts";

interface Message {
  number: number;
  text?: string;
}

const open: Channel<Message, Message>[] = [];
afterEach(() => {
  for (const channel of open.splice(0)) channel.close();
});

function pair(): [Channel<Message, Message>, Channel<Message, Message>] {
  const [here, there] = twinChannel().map((fd) => new Channel<Message, Message>(fd));
  if (here === undefined || there === undefined) throw new Error("no channel");
  open.push(here, there);
  return [here, there];
}

describe("a channel", () => {
  test("carries messages in their order", () => {
    const [here, there] = pair();
    expect(there.receive()).toBeUndefined();
    here.send({ number: 1, text: "ä\n" });
    here.send({ number: 2 });
    expect(there.receive()).toEqual({ number: 1, text: "ä\n" });
    expect(there.receive()).toEqual({ number: 2 });
    expect(there.receive()).toBeUndefined();
  });

  test("keeps what there is no room for, and sends it in its order", () => {
    const [here, there] = pair();
    const text = "x".repeat(60_000);
    let count = 0;
    for (; !here.waits; count++) here.send({ number: count, text });
    for (let i = 0; i < 10; i++) here.send({ number: count++, text });
    for (let next = 0; next < count; ) {
      const got = there.receive();
      if (got === undefined) here.flush();
      else expect(got.number).toBe(next++);
    }
    expect({ waits: here.waits as boolean }).toEqual({ waits: false });
  });

  test("refuses a message that is too long", () => {
    const [here] = pair();
    expect(() => here.send({ number: 1, text: "x".repeat(70_000) })).toThrow("too long");
  });

  test("says when the other end is gone", () => {
    const [here, there] = pair();
    here.send({ number: 1 });
    here.close();
    expect([there.receive(), there.receive()]).toEqual([{ number: 1 }, undefined]);
    expect(there.isClosed).toBe(true);
    there.send({ number: 2 });
  });
});
