/**
 * A daemon's control socket, `/run/qtfs/control/KIND-PID.sock`: what `qtfs
 * info` asks. Only root gets there (directory 0700, socket 0600); whoever
 * sends anything but a proper request has its connection closed.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "bun";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { BUILD } from "./facts.ts";
import { encodeFrame, FrameReader, type Request } from "./frames.ts";
import { isLogLevel, type Log, type LogLevel } from "./log.ts";
import type { Process } from "./report.ts";

export const CONTROL_DIRECTORY = "/run/qtfs/control";

/** Connections at once, and how long one may stay without a word. */
const CONNECTIONS_MAX = 16;
const IDLE_TIMEOUT_S = 10;

export interface Daemon {
  kind: "server" | "mount" | "rexec-server";
  log: Log;
  /** What beside `Process` it reports: a ServerSnapshot, MountSnapshot or RexecSnapshot. */
  snapshot(): object;
  /**
   * Lets another process take over, which `program` starts and whose records are
   * of `layout`; its pid. Throws a sentence if that cannot be.
   */
  handOver?(program: readonly string[], layout: number): number;
}

export interface Control {
  path: string;
  /** Ends all connections and removes the socket. */
  close(): void;
}

interface Connection {
  reader: FrameReader;
  /** What the kernel has not taken yet. */
  unsent: Buffer;
}

/** Listens for `qtfs info` until closed. */
export function serveControl(daemon: Daemon, directory = CONTROL_DIRECTORY): Control {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const path = `${directory}/${daemon.kind}-${process.pid}.sock`;
  // A process that had this pid and was killed left it.
  rmSync(path, { force: true });
  let connections = 0;
  const listener = Bun.listen<Connection>({
    unix: path,
    socket: {
      open(socket) {
        connections++;
        socket.data = { reader: new FrameReader(Kind.REQUEST), unsent: Buffer.alloc(0) };
        if (connections > CONNECTIONS_MAX) socket.terminate();
        else socket.timeout(IDLE_TIMEOUT_S);
      },
      data: (socket, bytes) => receive(daemon, socket, bytes),
      drain: flush,
      timeout: (socket) => socket.terminate(),
      error: (socket) => socket.terminate(),
      close: () => {
        connections--;
      },
    },
  });
  chmodSync(path, 0o600);
  const close = () => {
    listener.stop(true);
    rmSync(path, { force: true });
  };
  return { path, close };
}

function receive(daemon: Daemon, socket: Socket<Connection>, bytes: Buffer): void {
  try {
    for (const request of socket.data.reader.add(bytes)) {
      const reply = encodeFrame(Kind.REPLY, answer(daemon, request as Partial<Request>));
      socket.data.unsent = Buffer.concat([socket.data.unsent, reply]);
    }
    flush(socket);
  } catch (error) {
    const reason = error instanceof ProtocolError ? error.message : String(error);
    daemon.log.write("debug", `Closed a control connection: ${reason}`);
    socket.terminate();
  }
}

function flush(socket: Socket<Connection>): void {
  const { unsent } = socket.data;
  if (unsent.length === 0) return;
  const sent = socket.write(unsent, 0, unsent.length);
  if (sent < 0) socket.terminate();
  else socket.data.unsent = unsent.subarray(sent);
}

function answer(daemon: Daemon, request: Partial<Request>): object {
  const { kind, log, snapshot } = daemon;
  const { want, level } = request;
  if (want === "handOver") return handOver(daemon, request);
  if (want === "snapshot") return { kind, ...describeProcess(log.level), ...snapshot() };
  if (want === "log") return { lines: log.lines() };
  if (want !== "logLevel") throw new ProtocolError("unknown request");
  if (level !== undefined) {
    if (!isLogLevel(level)) throw new ProtocolError("unknown log level");
    log.level = level;
  }
  return { level: log.level };
}

function handOver(daemon: Daemon, { program, layout }: Partial<Request>): object {
  const isProgram = Array.isArray(program) && program.every((word) => typeof word === "string");
  if (!isProgram || program.length === 0 || typeof layout !== "number") {
    throw new ProtocolError("hands over to nobody");
  }
  try {
    const successor = daemon.handOver?.(program, layout);
    if (successor === undefined) throw new Error(`a ${daemon.kind} is not handed over`);
    daemon.log.write("info", `Process ${successor} takes over`);
    return { successor };
  } catch (error) {
    return { refused: (error as Error).message };
  }
}

/** What every process says of itself. */
export function describeProcess(logLevel: LogLevel): Process {
  const uptimeSeconds = process.uptime();
  return {
    pid: process.pid,
    version: BUILD,
    startedAt: new Date(Date.now() - uptimeSeconds * 1000).toISOString(),
    uptimeSeconds,
    residentBytes: residentBytes(),
    logLevel,
  };
}

/** VmRSS of proc(5), in kB there. */
function residentBytes(): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}
