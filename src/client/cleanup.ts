/** What a late answer left behind on the server, for a caller that is gone. */
import { Opcode } from "../fuse/protocol.ts";
import { readAttributes } from "../wire/attributes.ts";
import { ATTRIBUTE_FIELDS } from "../wire/constants.ts";
import { NAME_MAX } from "../wire/limits.ts";
import { Oneway, Op } from "../wire/ops.ts";
import type { Client } from "./client.ts";

const PLUS_ITEMS = 4 + ATTRIBUTE_FIELDS;

/** Forgets and closes what the server's successful answer to `opcode`, as operation `op`, counted for us. */
export function cleanUp(c: Client, opcode: number, op = 0): void {
  if (op === Op.SOCKET_BIND) {
    unbind(c);
    return;
  }
  switch (opcode) {
    case Opcode.LOOKUP:
    case Opcode.MKNOD:
    case Opcode.MKDIR:
    case Opcode.SYMLINK:
    case Opcode.LINK:
      forgetEntry(c);
      break;
    case Opcode.CREATE:
    case Opcode.TMPFILE:
      forgetEntry(c);
      readAttributes(c.transport.reader, c.attributes);
      c.tell(Oneway.RELEASE, c.transport.reader.uint32());
      break;
    case Opcode.OPEN:
      c.tell(Oneway.RELEASE, c.transport.reader.uint32());
      break;
    case Opcode.READDIRPLUS:
      forgetEntries(c);
      break;
  }
}

/** Nobody listens at a socket whose bind(2) was given up: its file stays. */
function unbind(c: Client): void {
  const { reader } = c.transport;
  forgetEntry(c);
  readAttributes(reader, c.attributes);
  readAttributes(reader, c.attributes);
  c.twins?.closeKey(reader.uint());
}

function forgetEntry(c: Client): void {
  c.transport.reader.uint64();
  c.forget(c.transport.reader.high, c.transport.reader.low, 1);
}

function forgetEntries(c: Client): void {
  const { transport, payload } = c;
  const count = transport.reader.uint32();
  payload.window(transport.payloadStart, transport.payloadStart + transport.payloadLength);
  for (let i = 0; i < count; i++) {
    const items = payload.array();
    payload.uint64();
    payload.uint32();
    payload.blob(NAME_MAX);
    payload.uint64();
    if (items !== PLUS_ITEMS) continue;
    c.forget(payload.high, payload.low, 1);
    readAttributes(payload, c.attributes);
  }
}
