/**
 * Messages of multiplexed byte streams, in frames of Kind.STREAM whose header is
 * `[stream, message, …arguments]`. README.md has the states and rules.
 *
 * Streams are numbered by who opens them: 1, 3, 5 … by the client, 2, 4, 6 … by
 * the server. A number is never used twice in a session.
 */
export const StreamMessage = {
  /** `[stream, OPEN, kind]`; payload: what it is to be connected to, as its kind says. */
  OPEN: 0,
  /** `[stream, DATA]`; payload: 1 to STREAM_CHUNK_MAX bytes (STREAM_SPLICED_MAX with `wide-streams`), within the credit. */
  DATA: 1,
  /** `[stream, CREDIT, bytes, messages]`: so much more may be sent. */
  CREDIT: 2,
  /** `[stream, EOF]`: no more DATA follows; the other direction goes on. */
  EOF: 3,
  /** `[stream, RESET, errno]`: the sender takes and sends nothing more. */
  RESET: 4,
  /** `[stream, OUT_OF_BAND, type]`; payload: as its type says. In order with DATA. */
  OUT_OF_BAND: 5,
} as const;

/** Number of a side's first stream. */
export const FirstStream = { client: 1, server: 2 } as const;

/** From one stream of a side to its next. */
export const STREAM_STEP = 2;

/** What a stream is connected to: the `kind` of OPEN, whose payload says the rest. */
export const StreamKind = {
  /** Client: a socket of the HOST's. `[key, type, uid, gid, groups, pid]` */
  CONNECT: 1,
  /** Server: somebody who has connected to a socket that the DPU listens at. `[key, type, uid, gid, pid]`, of datagrams also a name */
  INCOMING: 2,
  /** Client: a FIFO, used as `FifoWord` says. `[key]` */
  FIFO: 3,
  /** Either: what was passed along with other data. `[id, what, …]` */
  DESCRIPTOR: 4,
  /** Client: datagrams of one sender. `[key, uid, gid, groups, pid, name]` */
  DATAGRAMS: 5,
  /** Client of role rexec: a program. `[length of the order]`; data: the order (rexec/order.ts) */
  PROGRAM: 6,
  /** Client of role rexec: a descriptor of a program's. `[stream of the program, place, ProgramEnd]` */
  PROGRAM_FD: 7,
  /** Server: as INCOMING, at an abstract name that the DPU listens at. */
  INCOMING_NAMED: 8,
} as const;

/** What the program has at its end of a descriptor's stream. */
export const ProgramEnd = {
  /** The end of a pipe that is read, or written. */
  INPUT: 0,
  OUTPUT: 1,
  /** A stream socket. */
  SOCKET: 2,
  /** As INPUT, and ENDED says how much of it was read: a file's bytes, which are not lost. */
  FILE_INPUT: 3,
  /** What is typed at its terminal, and what that shows. */
  KEYBOARD: 4,
  SCREEN: 5,
  /** A socket that keeps messages apart: `u32le length`, bytes each. */
  PACKETS: 6,
  DATAGRAMS: 7,
  /** A stream socket that listens: what connects to the client's is connected to it by CONNECTION. */
  LISTENER_UNIX: 8,
  LISTENER_INET: 9,
  LISTENER_INET6: 10,
  CONNECTION: 11,
} as const;

/** Words of the two ends of a FIFO's stream, one byte in an OutOfBand.FIFO. README.md has the states. */
export const FifoWord = {
  /** Client: hold it open for reading there, and for nothing else. WRITERS or NO_WRITERS answers. */
  READ: 1,
  /** Client: open it for writing, when somebody reads. READERS or NO_READERS answers. */
  WRITE: 2,
  /** Client: open it for writing if somebody reads now. TAKEN or NOBODY answers. */
  TRY: 3,
  /** Client: let go of it. RELEASED answers, after all data. */
  RELEASE: 4,
  /** Client, after RELEASED of what was read: the data that came before this was not read: put it back. */
  GIVEN: 5,
  /** Server, while it reads: somebody has it open there for writing. */
  WRITERS: 16,
  /** Server, while it reads: nobody has, after this data. */
  NO_WRITERS: 17,
  /** Server, while it writes, or after NOBODY while it reads: somebody has it open there for reading. */
  READERS: 18,
  /** Server, while it writes: nobody has. */
  NO_READERS: 19,
  /** Server: it was opened for writing. */
  TAKEN: 20,
  /** Server: nobody reads; all is as it was. */
  NOBODY: 21,
  /** Server: it is let go of. */
  RELEASED: 22,
} as const;

/** Messages beside a stream's data. */
export const OutOfBand = {
  /** What the stream leads to is open, or connected. */
  OPENED: 1,
  /** Descriptors that were passed (SCM_RIGHTS) with the data that follows. */
  RIGHTS: 2,
  /** Who has sent the data that follows (SCM_CREDENTIALS). */
  CREDENTIALS: 3,
  /** Out-of-band data of the kernel's (MSG_OOB). */
  URGENT: 4,
  /** Name of the sender of the datagram that follows. */
  SENDER: 5,
  /** Window size and modes of a terminal. */
  TERMINAL: 6,
  /** Nobody takes this direction's data any more (EPIPE); the other goes on. */
  NO_READER: 7,
  /** A FifoWord. */
  FIFO: 8,
  /** Of a program: it runs. `[pid]` */
  STARTED: 16,
  /** It was not started. `[exit code, sentence]` */
  NOT_STARTED: 17,
  /** It has ended. `[exit code, signal, (place, bytes read | PROGRAM_FDS_MAX + file, position) × n]` */
  ENDED: 18,
  /** Client: send its process group a signal. `[number]` (values of asm-generic/signal.h) */
  SIGNAL: 19,
  /** Client: its terminal has another size: struct winsize. */
  RESIZED: 20,
  /** Of a program: it has stopped, as by this signal. `[number]` */
  STOPPED: 21,
} as const;

/** Types of sockets, as socket(2) has them (linux/net.h). */
export const SocketType = { STREAM: 1, DGRAM: 2, SEQPACKET: 5 } as const;
