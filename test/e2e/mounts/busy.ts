/**
 * Makes, writes, reads, renames and removes files in a directory, and appends its
 * rounds to a file there, `log` and its pid, without a pause: `bun busy.ts DIRECTORY COUNTER STOP`. Says in the file COUNTER how often
 * it has, and ends when there is a file STOP; an error ends it with exit code 1.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";

const [, , directory = "", counter = "", stop = ""] = process.argv;
const place = `${directory}/busy${process.pid}`;
for (let i = 1; !existsSync(stop); i++) {
  mkdirSync(place);
  writeFileSync(`${place}/file`, `${i}`);
  for (let look = 0; look < 50; look++) statSync(`${place}/file`);
  renameSync(`${place}/file`, `${place}/moved`);
  const found = readFileSync(`${place}/moved`, "utf8");
  if (found !== `${i}`) throw new Error(`Wrote ${i} and read ${found}`);
  rmSync(`${place}/moved`);
  rmdirSync(place);
  appendFileSync(`${directory}/log${process.pid}`, `${i}\n`);
  writeFileSync(counter, `${i}`);
}
