/**
 * Lines of JSON that carry what JSON has not: bytes, big integers, absent arguments.
 */

type Tagged = { $: "bytes" | "big" | "none"; v?: string };

function pack(value: unknown): unknown {
  if (value === undefined) return { $: "none" } satisfies Tagged;
  if (typeof value === "bigint") return { $: "big", v: String(value) } satisfies Tagged;
  if (value instanceof Uint8Array) {
    return { $: "bytes", v: Buffer.from(value).toString("base64") } satisfies Tagged;
  }
  if (Array.isArray(value)) return value.map(pack);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, pack(inner)]));
  }
  return value;
}

function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpack);
  if (typeof value !== "object" || value === null) return value;
  if ("$" in value) {
    const tagged = value as Tagged;
    if (tagged.$ === "none") return undefined;
    return tagged.$ === "big" ? BigInt(tagged.v ?? "0") : Buffer.from(tagged.v ?? "", "base64");
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unpack(inner)]));
}

export function encode(value: unknown): string {
  return `${JSON.stringify(pack(value))}\n`;
}

export function decode(line: string): unknown {
  return unpack(JSON.parse(line));
}

/** Splits a stream into lines; a last one without its newline is dropped. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
