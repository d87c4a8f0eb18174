/** The frames of a session's client: what is run, what is answered from memory, what is refused. */
import { At } from "../info/heartbeat.ts";
import { E } from "../sys/errno.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { NAME_MAX, SLOTS_MAX } from "../wire/limits.ts";
import { ARGUMENTS, OP_COUNT, opName } from "../wire/ops.ts";
import { oneway } from "./oneway.ts";
import { operations } from "./operations.ts";
import { KEPT, LATER, type Session } from "./session.ts";
import { NEVER_CAME } from "./slots.ts";
import { closeOwn, runOwn } from "./watches/doing.ts";

const NONE = -1;
/** For the heartbeat: messages that are never answered. */
const ONEWAYS = At.OPERATION + OP_COUNT;
const expected = Int32Array.from({ length: OP_COUNT }, (_, op) => ARGUMENTS[op] ?? NONE);

/** Names for people what the heartbeat says is being served, from At.OPERATION on. */
export function describeServing(operation: number): string {
  return operation === OP_COUNT ? "at forgets and releases" : `at ${opName(operation)}`;
}

/** Serves every frame that has arrived, until answers no longer leave. */
export function serve(session: Session): void {
  const { transport } = session;
  while (!transport.congested && transport.next()) {
    switch (transport.kind) {
      case Kind.REQUEST:
        request(session);
        break;
      case Kind.ONEWAY:
        session.counters.heartbeat.beat(ONEWAYS);
        closeOwn(session, oneway);
        break;
      case Kind.CANCEL:
        cancel(session);
        break;
      case Kind.HELLO:
        throw new ProtocolError("HELLO twice");
      case Kind.GOODBYE:
        goodbye(session);
        return;
      default:
        throw new ProtocolError(`frame of kind ${transport.kind} is not for a server`);
    }
  }
  if (transport.hasMore && !transport.closed) session.ahead.step(session);
}

function request(session: Session): void {
  const { reader, slots } = session;
  const items = reader.array();
  const slot = reader.uint();
  const sequence = reader.uint();
  const op = reader.uint();
  if (slot >= SLOTS_MAX || op >= OP_COUNT || items !== (expected[op] as number) + 3) {
    throw new ProtocolError(`request of unknown form (operation ${op}, ${items} items)`);
  }
  if (sequence === 0) throw new ProtocolError("sequences begin at 1");
  const last = slots.last(slot);
  session.slot = slot;
  session.sequence = sequence;
  session.op = op;
  session.doubtSinceNs = 0;
  if (sequence !== last + 1) {
    repeated(session, last);
    return;
  }
  if (slots.isBusy(slot)) throw new ProtocolError(`slot ${slot} is still in use`);
  slots.begin(slot, sequence, op, KEPT[op] as number);
  run(session, op);
}

function run(session: Session, op: number): void {
  const started = Bun.nanoseconds();
  const operation = operations[op];
  session.counters.heartbeat.beat(At.OPERATION + op);
  if (operation === undefined) throw new ProtocolError(`operation ${op} is not served here`);
  const errno = runOwn(session, op, operation);
  if (errno > 0) session.fail(errno);
  if (errno !== LATER) session.counters.served(op, Bun.nanoseconds() - started);
}

/** A request seen before: the kept answer, or the run again of what changes nothing. */
function repeated(session: Session, last: number): void {
  const { slot, sequence, op, slots } = session;
  if (sequence !== last) {
    throw new ProtocolError(`slot ${slot} skipped from ${last} to ${sequence}`);
  }
  const was = slots.op(slot);
  if (was !== op && was !== NEVER_CAME) {
    throw new ProtocolError(`slot ${slot} repeats ${sequence} as another operation`);
  }
  if (slots.isBusy(slot)) return;
  session.counters.replays++;
  if (slots.isKept(slot)) {
    session.sendKept();
    return;
  }
  session.undoLookups();
  session.doubtSinceNs = slots.doubtSinceNs(slot);
  run(session, op);
}

function cancel(session: Session): void {
  const { reader, slots } = session;
  if (reader.array() !== 2) throw new ProtocolError("CANCEL of a wrong length");
  const slot = reader.uint();
  const sequence = reader.uint();
  reader.finish();
  if (slot >= SLOTS_MAX) throw new ProtocolError("CANCEL of an unknown slot");
  const last = slots.last(slot);
  if (slots.isBusy(slot)) {
    if (sequence === last) session.cancelCall(slot);
    return;
  }
  session.slot = slot;
  session.sequence = sequence;
  if (sequence === last + 1) refuse(session);
  else if (sequence === last && sequence > 0) cancelEnded(session);
}

/** CANCEL of what has come to its end: its answer went to this connection or an earlier one. */
function cancelEnded(session: Session): void {
  const { slot, slots } = session;
  if (slots.isAnswered(slot)) return;
  if (slots.isKept(slot)) {
    session.sendKept();
    return;
  }
  session.undoLookups();
  refuse(session);
}

/** Answers EINTR in place of the request, which never runs from now on. */
function refuse(session: Session): void {
  session.op = NEVER_CAME;
  session.slots.begin(session.slot, session.sequence, NEVER_CAME, 1);
  session.counters.count("CANCELS");
  session.fail(E.EINTR);
}

function goodbye(session: Session): void {
  const { reader, transport } = session;
  if (reader.array() !== 2) throw new ProtocolError("GOODBYE of a wrong length");
  const code = reader.uint();
  reader.blob(NAME_MAX);
  reader.finish();
  // Any other reason is about the connection: the client may come back.
  session.ended = code === Goodbye.DONE;
  transport.close();
}
