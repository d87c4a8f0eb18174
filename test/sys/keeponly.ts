/** Says what a thread that called keepOnlyFd has open, and what the main one still has. */
import { pipe2, read } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { F_GETFD, fcntlInt, O_CLOEXEC } from "../../src/sys/open.ts";
import { okPair } from "./support.ts";

const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
const worker = new Worker(new URL("./keeponly.worker.ts", import.meta.url).href);
worker.postMessage({ keep: writeEnd, others: [0, 1, 2, readEnd] });
const room = allocate(4096);
const got = read(readEnd, room.address, room.size);
const isOpen = (fd: number) => fcntlInt(fd, F_GETFD) >= 0;
const main = [0, 1, 2].filter(isOpen);
const pipe = isOpen(readEnd) && isOpen(writeEnd) ? ["pipe"] : [];
const said = { worker: JSON.parse(room.bytes.toString("utf8", 0, got)), main: [...main, ...pipe] };
process.stdout.write(JSON.stringify(said), () => process.kill(process.pid, "SIGKILL"));
