/**
 * Writes or reads a large file, a piece at a time:
 *
 *   bun test/fault/scenarios/transfer.ts write|read PATH MIB SEED
 *
 * says how many MiB are done, and last the SHA-256 of what was written or read.
 */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { random } from "../../support/random.ts";

const PIECE_BYTES = 1 << 20;
const [mode = "", path = "", mib = "", seed = ""] = process.argv.slice(2);
const isWriting = mode === "write";
const digest = new Bun.CryptoHasher("sha256");
const piece = Buffer.from(random(Number(seed)).bytes(PIECE_BYTES));
const fd = openSync(path, isWriting ? "w" : "r");
for (let i = 0; i < Number(mib); i++) {
  // Every piece is another.
  if (isWriting) piece.writeUInt32LE(i, (i * 4096) % PIECE_BYTES);
  const done = isWriting ? writeSync(fd, piece) : readSync(fd, piece);
  if (done !== PIECE_BYTES) throw new Error(`${done} of ${PIECE_BYTES} bytes at ${i} MiB`);
  digest.update(piece);
  process.stdout.write(`${i + 1}\n`);
}
if (isWriting) fsyncSync(fd);
closeSync(fd);
process.stdout.write(`sha256 ${digest.digest("hex")}\n`);
