/** The state machine of a FIFO, transition by transition: the table of src/client/twins/fifo/README.md. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  At,
  type FifoAction,
  type FifoEvent,
  FifoMachine,
  type Opener,
} from "../../../../src/client/twins/fifo/machine.ts";
import { FifoWord } from "../../../../src/wire/streams.ts";

const words = new Map<number, string>(Object.entries(FifoWord).map(([name, word]) => [word, name]));
let next = 1;

function opener(kind: "R" | "W" | "RW", waits = kind !== "RW"): FifoEvent {
  const made: Opener = { id: next++, reads: kind !== "W", writes: kind !== "R", waits };
  return { kind: "open", opener: made };
}
const R = () => opener("R");
const Rn = () => opener("R", false);
const W = () => opener("W");
const Wn = () => opener("W", false);
const RW = () => opener("RW");
const said = (name: keyof typeof FifoWord): FifoEvent => ({ kind: "said", word: FifoWord[name] });
const readersGone: FifoEvent = { kind: "readersGone" };
const writersGone: FifoEvent = { kind: "writersGone" };
const lost: FifoEvent = { kind: "lost" };
const back: FifoEvent = { kind: "back" };

/** An action as the table writes it. */
function named(action: FifoAction): string {
  return action.kind === "say" ? (words.get(action.word) ?? "?") : action.kind;
}

/** Where a machine is after `events`, what it was told to do by the last, and who has it open. */
function after(...events: FifoEvent[]): [at: string, did: string, has: string] {
  const m = new FifoMachine();
  let actions: readonly FifoAction[] = [];
  for (const event of events) actions = m.step(event);
  const has = `${m.readers ? "r" : ""}${m.writers ? "w" : ""}`;
  return [m.at, actions.map(named).join(" "), has];
}

/** Ways to each state. */
const askingRead = [R()];
const downWait = [...askingRead, said("NO_WRITERS")];
const down = [...askingRead, said("WRITERS")];
const downBoth = [...down, W()];
const tryingDown = [...downWait, W()];
const bothWait = [...tryingDown, said("NOBODY")];
const giving = [...down, readersGone];
const askingWrite = [W()];
const trying = [Wn()];
const upWait = [...askingWrite, said("NO_READERS")];
const up = [...askingWrite, said("READERS")];
const draining = [...up, writersGone];
const away = [...down, lost];

type Row = [what: string, events: FifoEvent[], at: string, did: string, has: string];

const rows: Row[] = [
  // idle
  ["a reader comes", [R()], At.ASKING_READ, "READ", ""],
  ["a reader that does not wait comes", [Rn()], At.ASKING_READ, "READ", ""],
  ["a writer comes", [W()], At.ASKING_WRITE, "WRITE", ""],
  ["a writer that does not wait comes", [Wn()], At.TRYING, "TRY", ""],
  ["one that reads and writes comes", [RW()], At.ASKING_READ, "READ", ""],
  // asking read
  ["the HOST has no writer", downWait, At.DOWN_WAIT, "let", "r"],
  ["the HOST has a writer", down, At.DOWN, "openWrite let", "r"],
  ["readers and writers are let", [R(), W(), said("WRITERS")], At.DOWN, "openWrite let let", "rw"],
  [
    "who reads and writes is let, and the HOST asked for readers",
    [RW(), said("NO_WRITERS")],
    At.TRYING_DOWN,
    "let TRY",
    "rw",
  ],
  ["its only reader gives up", [...askingRead, { kind: "gaveUp", id: -1 }], At.ASKING_READ, "", ""],
  ["a word that crossed is nothing", [...askingRead, said("READERS")], At.ASKING_READ, "", ""],
  // down, waiting
  ["a writer comes to the HOST", [...downWait, said("WRITERS")], At.DOWN, "openWrite", "r"],
  ["another reader comes", [...downWait, Rn()], At.DOWN_WAIT, "let", "r"],
  ["a writer comes here", tryingDown, At.TRYING_DOWN, "let TRY", "rw"],
  ["a writer that does not wait comes here", [...downWait, Wn()], At.TRYING_DOWN, "let TRY", "rw"],
  ["the last reader goes", [...downWait, readersGone], At.GIVING, "collect RELEASE", ""],
  [
    "both ends are here: what is unread is offered",
    [...bothWait, { kind: "unread" }],
    At.TRYING_DOWN,
    "TRY",
    "rw",
  ],
  [
    "both ends are here: a reader comes to the HOST",
    [...bothWait, said("READERS")],
    At.TRYING_DOWN,
    "TRY",
    "rw",
  ],
  [
    "both ends are here, and the HOST's readers leave: it is asked anew",
    [...tryingDown, said("TAKEN"), said("NO_READERS"), said("NO_WRITERS")],
    At.TRYING_DOWN,
    "TRY",
    "rw",
  ],
  [
    "both ends were here: the server holds but the read end",
    [...bothWait, writersGone],
    At.DOWN_WAIT,
    "READ",
    "r",
  ],
  [
    "and whether there are writers is known, whatever it answers",
    [...bothWait, writersGone, said("NO_WRITERS")],
    At.DOWN_WAIT,
    "",
    "r",
  ],
  [
    "a reader of the HOST's is nothing to readers here",
    [...downWait, said("READERS")],
    At.DOWN_WAIT,
    "",
    "r",
  ],
  ["both ends are here: it is asked once", [...bothWait, W()], At.DOWN_WAIT, "let", "rw"],
  [
    "both were here, and a writer comes again",
    [...bothWait, writersGone, W()],
    At.TRYING_DOWN,
    "let TRY",
    "rw",
  ],
  // down
  [
    "the HOST's writers leave",
    [...down, said("NO_WRITERS")],
    At.DOWN_WAIT,
    "closeWrite verify",
    "r",
  ],
  ["a writer comes here while the HOST writes", downBoth, At.DOWN, "let", "rw"],
  [
    "the HOST's writers leave those here",
    [...downBoth, said("NO_WRITERS")],
    At.TRYING_DOWN,
    "closeWrite verify TRY",
    "rw",
  ],
  ["the last reader goes while the HOST writes", giving, At.GIVING, "collect RELEASE", ""],
  // trying, down
  ["nobody reads on the HOST", bothWait, At.DOWN_WAIT, "", "rw"],
  ["somebody reads on the HOST", [...tryingDown, said("TAKEN")], At.UP, "openRead", "rw"],
  [
    "a writer came to the HOST meanwhile",
    [...tryingDown, said("WRITERS"), said("NOBODY")],
    At.DOWN,
    "",
    "rw",
  ],
  [
    "it came and left",
    [...tryingDown, said("WRITERS"), said("NO_WRITERS"), said("NOBODY")],
    At.DOWN_WAIT,
    "",
    "rw",
  ],
  ["others come meanwhile", [...tryingDown, R()], At.TRYING_DOWN, "let", "rw"],
  [
    "readers go meanwhile",
    [...tryingDown, readersGone, said("NOBODY")],
    At.GIVING,
    "collect RELEASE",
    "w",
  ],
  // giving
  ["all has come back", [...giving, said("RELEASED")], At.IDLE, "give GIVEN over", ""],
  ["a reader waits until all is given back", [...giving, R()], At.GIVING, "", ""],
  ["and is served then", [...giving, R(), said("RELEASED")], At.ASKING_READ, "give GIVEN READ", ""],
  [
    "writers are left",
    [...downBoth, readersGone, said("RELEASED")],
    At.ASKING_WRITE,
    "give GIVEN WRITE",
    "w",
  ],
  ["words that crossed are nothing", [...giving, said("NO_WRITERS")], At.GIVING, "", ""],
  // asking write
  ["nobody reads there", upWait, At.UP_WAIT, "let", "w"],
  ["somebody reads there", up, At.UP, "openRead let", "w"],
  [
    "an answer to what was before is nothing",
    [...askingWrite, said("RELEASED")],
    At.ASKING_WRITE,
    "",
    "",
  ],
  // trying
  ["nobody reads: our kernel refuses", [...trying, said("NOBODY")], At.IDLE, "let over", ""],
  [
    "somebody reads: who does not wait writes",
    [...trying, said("TAKEN")],
    At.UP,
    "openRead let",
    "w",
  ],
  [
    "a reader that came meanwhile is next",
    [...trying, R(), said("NOBODY")],
    At.ASKING_READ,
    "let READ",
    "",
  ],
  // up, waiting
  ["a reader comes to the HOST", [...upWait, said("READERS")], At.UP, "openRead", "w"],
  ["a reader comes here", [...upWait, R()], At.ASKING_READ, "let READ", "rw"],
  [
    "a writer that does not wait is refused by our kernel",
    [...upWait, Wn()],
    At.UP_WAIT,
    "let",
    "w",
  ],
  ["the last writer goes", [...upWait, writersGone], At.DRAINING, "RELEASE", ""],
  // up
  ["the HOST's readers leave", [...up, said("NO_READERS")], At.UP_WAIT, "finishRead verify", "w"],
  ["a reader comes here while the HOST reads", [...up, R()], At.UP, "let", "rw"],
  ["it goes again", [...up, R(), readersGone], At.UP, "", "w"],
  [
    "the HOST's readers leave those here",
    [...up, R(), said("NO_READERS")],
    At.ASKING_READ,
    "finishRead verify READ",
    "rw",
  ],
  ["the last writer goes while the HOST reads", draining, At.DRAINING, "closeRead RELEASE", ""],
  // draining
  ["all is written", [...draining, said("RELEASED")], At.IDLE, "over", ""],
  ["a writer comes while it is", [...draining, W()], At.ASKING_WRITE, "WRITE", ""],
  ["one that does not wait", [...draining, Wn()], At.TRYING, "TRY", ""],
  ["a reader waits for the end", [...draining, R()], At.DRAINING, "", ""],
  ["and is served then", [...draining, R(), said("RELEASED")], At.ASKING_READ, "READ", ""],
  ["readers are left", [...up, R(), writersGone, said("RELEASED")], At.ASKING_READ, "READ", "r"],
  // away
  ["the connection is lost", away, At.AWAY, "closeAll", "r"],
  ["nobody waits for it", [...askingRead, lost], At.AWAY, "closeAll let", "r"],
  ["who comes is let", [...away, W()], At.AWAY, "let", "rw"],
  ["who does not wait is refused by our kernel", [...away, Wn()], At.AWAY, "let", "r"],
  ["all go", [...away, readersGone], At.AWAY, "over", ""],
  ["it is back", [...away, back], At.ASKING_READ, "verify READ", "r"],
  ["it is back for writers", [...up, lost, back], At.ASKING_WRITE, "verify WRITE", "w"],
  ["it was never away", [...down, back], At.DOWN, "", "r"],
  // found
  [
    "one is found to have it open",
    [...upWait, { kind: "found", reads: true, writes: false }],
    At.ASKING_READ,
    "READ",
    "rw",
  ],
];

describe("from each state", () => {
  test.each(rows)("%s", (_, events, at, did, has) => {
    expect(after(...events)).toEqual([at, did, has]);
  });
});

test("one that gives up while it is held is not let", () => {
  const m = new FifoMachine();
  const first = R();
  m.step(first);
  expect(m.held).toBe(1);
  m.step({ kind: "gaveUp", id: first.kind === "open" ? first.opener.id : 0 });
  expect(m.held).toBe(0);
  expect(m.step(said("NO_WRITERS")).map(named)).toEqual(["collect", "RELEASE"]);
});

test("no event in any state leaves anybody held for ever", () => {
  const events = [R, Rn, W, Wn, RW].map((make) => make);
  const ways = [
    askingRead,
    downWait,
    down,
    tryingDown,
    giving,
    askingWrite,
    trying,
    upWait,
    up,
    draining,
    away,
  ];
  const answers: FifoEvent[] = Object.values(FifoWord)
    .filter((word) => word >= FifoWord.WRITERS)
    .map((word) => ({ kind: "said", word }));
  for (const way of ways) {
    for (const make of events) {
      const m = new FifoMachine();
      for (const event of way) m.step(event);
      m.step(make());
      // The server answers whatever it was asked, in some order; in the end all are let.
      for (let round = 0; round < 6 && m.held > 0; round++)
        for (const answer of answers) m.step(answer);
      expect([m.at, m.held]).toEqual([m.at, 0]);
    }
  }
});

test("the table names every state", () => {
  const readme = readFileSync(
    new URL("../../../../src/client/twins/fifo/README.md", import.meta.url),
    "utf8",
  );
  for (const at of Object.values(At)) expect(readme).toContain(`| **${at}** |`);
  for (const name of Object.keys(FifoWord)) expect(readme).toContain(name);
});
