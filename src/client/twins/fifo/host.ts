/** The twin process as the FIFOs see it. */
import type { FifoLine } from "../../../bridge/fifoline.ts";
import { identityOf } from "../../../bridge/holders.ts";
import { E } from "../../../sys/errno.ts";
import { close } from "../../../sys/open.ts";
import { Op } from "../../../wire/ops.ts";
import { StreamKind } from "../../../wire/streams.ts";
import type { TwinSide } from "../side.ts";
import type { FifoHost, FifoPlace } from "./fifos.ts";

/** FIFOs are served by `side`. */
export function hostOf(side: TwinSide): FifoHost {
  return {
    loop: side.loop,
    open: (place, flags, done) =>
      side.doorman.ask({ kind: "open", ...place, flags }, ({ result }) => done(result)),
    watch: (place, inotify, mask, done) =>
      side.doorman.ask({ kind: "watch", ...place, inotify, mask }, ({ result, watch = result }) => {
        if (result < 0) return done(result);
        done(watch, identityOf(result));
        close(result);
      }),
    connect: (place, line) => connect(side, place, line),
    let: (id) => side.tell({ kind: "fifoLet", id }),
    hold: () => side.end.hold(),
    log: (text) => side.log("warn", text),
  };
}

/** A key is had for one stream: it is the server's to forget with it. */
function connect(side: TwinSide, { node }: FifoPlace, line: FifoLine): void {
  side.ask(Op.TWIN_OPEN, [node], (errno, [key]) => {
    if (errno !== 0 || key === undefined) line.refused(errno === 0 ? E.EPROTO : errno);
    else open(side, key, line);
  });
}

function open(side: TwinSide, key: number, line: FifoLine): void {
  if (!line.isOver) {
    const stream = side.end.open(StreamKind.FIFO, [key], line);
    if (stream === undefined) {
      side.end.whenRoom(() => open(side, key, line));
      return;
    }
    line.start(stream);
  }
  // The stream has a descriptor of its own by then: both go the same way, in order or not.
  line.whenClosed(() => side.ask(Op.TWIN_CLOSE, [key], () => {}));
}
