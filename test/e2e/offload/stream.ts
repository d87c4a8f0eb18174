/**
 * `bun stream.ts URL INPUT`: a program in a container by the URL that CRI's Exec gave, as a
 * WebSocket of Kubernetes' v4.channel.k8s.io: the first byte of a message names a stream. Prints
 * what it prints, then, after a line of dashes, how it ended.
 */
const [url = "", input = ""] = process.argv.slice(2);
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;

const socket = new WebSocket(url.replace(/^http/, "ws"), "v4.channel.k8s.io");
socket.binaryType = "arraybuffer";
socket.addEventListener("open", () => {
  if (input !== "") socket.send(new Uint8Array([STDIN, ...Buffer.from(input)]));
});
socket.addEventListener("message", ({ data }: MessageEvent<ArrayBuffer>) => {
  const bytes = Buffer.from(data);
  const text = bytes.subarray(1);
  if (bytes[0] === STDOUT) process.stdout.write(text);
  else if (bytes[0] === STDERR) process.stderr.write(text);
  else if (bytes[0] === STATUS) process.stdout.write(`---\n${text}\n`);
});
socket.addEventListener("error", () => {
  process.stderr.write(`stream: no connection to ${url}\n`);
  process.exitCode = 1;
});
