/** Why a client is not let in by TLS: what is counted, and how it is said to people. */

/** Names of counters (info/counters.ts), without TLS_. */
export type RefusalKind =
  | "NO_CERTIFICATE"
  | "UNKNOWN_AUTHORITY"
  | "EXPIRED"
  | "NOT_YET_VALID"
  | "REVOKED"
  | "WRONG_USAGE"
  | "UNKNOWN_NAME"
  | "OLD_PROTOCOL"
  | "PLAINTEXT"
  | "FAILED";

/** What OpenSSL says, by kind. */
const REASONS: readonly (readonly [RegExp, RefusalKind, string | undefined])[] = [
  [/did not return a certificate/, "NO_CERTIFICATE", "it has shown no certificate"],
  [
    /local issuer|self.signed|verify the first|CA cert|signature failure/,
    "UNKNOWN_AUTHORITY",
    undefined,
  ],
  [/has expired/, "EXPIRED", undefined],
  [/not yet valid/, "NOT_YET_VALID", undefined],
  [/revoked/, "REVOKED", undefined],
  [/purpose/, "WRONG_USAGE", undefined],
  [/unsupported protocol|protocol version/, "OLD_PROTOCOL", "it does not speak TLS 1.3"],
  [/wrong version number|http request/, "PLAINTEXT", "it does not speak TLS"],
];

export interface TlsRefusal {
  readonly kind: RefusalKind;
  readonly sentence: string;
}

/** What a handshake failed of, that OpenSSL calls `reason`. */
export function refusalFrom(reason: string): TlsRefusal {
  for (const [pattern, kind, sentence] of REASONS) {
    if (pattern.test(reason)) return { kind, sentence: sentence ?? `its certificate: ${reason}` };
  }
  return { kind: "FAILED", sentence: reason };
}

/** What a client is told of a handshake that failed of `reason`: its own finding, or the server's word. */
export function clientSentence(reason: string): string {
  const alert = /alert (.+)$/.exec(reason)?.[1];
  if (alert === "certificate required") return "the server wants a certificate";
  if (alert !== undefined) return `the server does not accept our certificate: ${alert}`;
  const { kind, sentence } = refusalFrom(reason);
  if (kind === "PLAINTEXT" || kind === "OLD_PROTOCOL") return `the server: ${sentence}`;
  return kind === "FAILED"
    ? `TLS: ${reason}`
    : `the server's certificate is not accepted: ${reason}`;
}
