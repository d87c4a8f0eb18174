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
  /** `[stream, DATA]`; payload: 1 to STREAM_CHUNK_MAX bytes, within the credit. */
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
