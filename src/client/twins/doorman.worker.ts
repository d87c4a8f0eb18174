/**
 * The one thread of the twin process that touches the mount: it may have to wait there for
 * the mount's process, which the streams must not. Its root and working directory are its
 * own, so that it can bind a socket at the very name that the HOST's has (doors.ts).
 */
import { SocketNames } from "../../bridge/names.ts";
import { cstring } from "../../sys/cstring.ts";
import { keepFileAccess, setEffectiveGid, setEffectiveUid } from "../../sys/identity.ts";
import { inotifyAddWatch } from "../../sys/inotify.ts";
import { close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../../sys/open.ts";
import { POLLIN, PollSet } from "../../sys/poll.ts";
import { chroot, fchdir, gettid, unshareFs } from "../../sys/process.ts";
import { SOCK_DGRAM } from "../../sys/socket.ts";
import {
  autobind,
  bindAbstract,
  bindAt,
  connectAbstract,
  connectAt,
  listenAt,
  SOMAXCONN,
  unixSocket,
} from "../../sys/unixsocket.ts";
import { Channel } from "./channel.ts";
import { ENTERS, type Job, type Outcome, type Ready } from "./doorman.ts";
import { DoormanMounts } from "./doormounts.ts";
import { aliasName, doorName, fitting, nextDoor } from "./doors.ts";

declare const self: {
  onmessage: ((event: { data: { fd: number } }) => void) | null;
  postMessage(message: Ready): void;
};

type BindJob = Extract<Job, { kind: "bind" }>;
type WatchJob = Extract<Job, { kind: "watch" }>;
type ConnectJob = Extract<Job, { kind: "connect" }>;
type BindNameJob = Extract<Job, { kind: "bindName" }>;
type ConnectNameJob = Extract<Job, { kind: "connectName" }>;
type Unconnected = Pick<ConnectJob, "type" | "uid" | "gid" | "name">;
/** Connects `fd` by calling `connect` with what does it where that has been found: 0 or -errno. */
type Go = (fd: number, connect: (act: () => number) => number) => number;

class DoormanThread {
  readonly #channel: Channel<Job, Outcome>;
  readonly #mounts = new DoormanMounts(() => this.#channel.send({ id: ENTERS, result: 0 }));
  readonly #root: number;
  readonly #names = new SocketNames();
  #door = nextDoor();

  constructor(fd: number) {
    this.#channel = new Channel(fd);
    this.#root = openat(-1, cstring("/"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  }

  run(): void {
    const polls = new PollSet(1);
    polls.add(this.#channel.fd, POLLIN);
    while (!this.#channel.isClosed) {
      const job = this.#channel.receive();
      if (job === undefined) polls.wait(-1);
      else this.#channel.send({ ...this.#do(job), id: job.id });
    }
  }

  #do(job: Job): Omit<Outcome, "id"> {
    switch (job.kind) {
      case "mount":
        this.#mounts.set(job.target, job.source);
        return { result: 0 };
      case "leave":
        return { result: 0, gone: this.#mounts.leaveUnmounted() };
      case "bind":
        return this.#bind(job);
      case "connect":
        return { result: this.#connect(job) };
      case "bindName":
        return { result: bindName(job) };
      case "connectName":
        return { result: this.#connectName(job) };
      case "open":
        return {
          result: this.#inDoors(job.channel, (doors) => {
            return openat(doors, cstring(aliasName(job.node)), job.flags | O_CLOEXEC, 0);
          }),
        };
      case "watch":
        return this.#watch(job);
      case "openPath":
        return { result: this.#mounts.openPath(job.path, job.inode, job.flags) };
      case "has":
        return { result: this.#mounts.has(job.device, job.node) };
      case "close":
        return { result: close(job.fd) };
      case "look":
        return { result: this.#mounts.look(job.channel, job.node) };
    }
  }

  /** Calls `use` with the hidden directory of a channel; its result, or -errno. */
  #inDoors(channel: number, use: (doors: number) => number): number {
    const mount = this.#mounts.of(channel);
    return typeof mount === "number" ? mount : use(mount.doors);
  }

  #watch({ channel, node, inotify, mask }: WatchJob): Omit<Outcome, "id"> {
    const fd = this.#inDoors(channel, (doors) =>
      openat(doors, cstring(aliasName(node)), O_PATH | O_CLOEXEC, 0),
    );
    if (fd < 0) return { result: fd };
    return { result: fd, watch: inotifyAddWatch(inotify, cstring(`/proc/self/fd/${fd}`), mask) };
  }

  #bind(job: BindJob): Omit<Outcome, "id"> {
    const mount = this.#mounts.of(job.channel);
    if (typeof mount === "number") return { result: mount };
    const path = this.#mounts.hostPath(mount, job.parent, job.name);
    const fd = unixSocket(job.type);
    if (fd < 0) return { result: fd };
    let result = this.#bindAt(fd, mount.doors, fitting(path), job);
    if (result === 0 && job.type !== SOCK_DGRAM) result = this.#listenAs(fd, job);
    if (result === 0) return { result: fd, path };
    close(fd);
    return { result };
  }

  /** Binds behind a new door, with that for a root. */
  #bindAt(fd: number, doors: number, name: string, { node }: BindJob): number {
    this.#door = nextDoor(this.#door);
    const depth = name.split("/").filter((part) => part !== "").length;
    const door = openat(
      doors,
      cstring(doorName(this.#door, node, depth)),
      O_PATH | O_DIRECTORY | O_CLOEXEC,
      0,
    );
    if (door < 0) return door;
    const here = cstring(".");
    let result = fchdir(door);
    if (result === 0) result = chroot(here);
    if (result === 0) result = bindAt(fd, name);
    const back = Math.min(fchdir(this.#root), chroot(here));
    close(door);
    if (back < 0) throw new Error(`Cannot leave the mount: errno ${-back}`);
    return result;
  }

  /** What those who connect take for the user that listens (SO_PEERCRED). */
  #listenAs(fd: number, { uid, gid }: BindJob): number {
    return as(uid, gid, () => listenAt(fd, SOMAXCONN));
  }

  #connect({ channel, node, ...socket }: ConnectJob): number {
    return this.#connected(socket, (fd, connect) => {
      return this.#inDoors(channel, (doors) => {
        const there = fchdir(doors);
        if (there < 0) return there;
        const result = connect(() => connectAt(fd, aliasName(node)));
        fchdir(this.#root);
        return result;
      });
    });
  }

  #connectName({ to, ...socket }: ConnectNameJob): number {
    return this.#connected(socket, (fd, connect) => connect(() => connectAbstract(fd, to)));
  }

  /** A socket that `go` connects, by what it is given for it; or -errno. */
  #connected({ type, uid, gid, name }: Unconnected, go: Go): number {
    const fd = unixSocket(type);
    if (fd < 0) return fd;
    const isNamed = name !== "" && this.#names.bind(fd, name) === 0;
    const result = go(fd, (act) => {
      // Datagrams are answered by name.
      const named = type === SOCK_DGRAM && !isNamed ? autobind(fd) : 0;
      return named < 0 ? named : as(uid, gid, act);
    });
    if (result === 0) return fd;
    close(fd);
    return result;
  }
}

function bindName({ name, type }: BindNameJob): number {
  const fd = unixSocket(type);
  if (fd < 0) return fd;
  let result = bindAbstract(fd, name);
  if (result === 0 && type !== SOCK_DGRAM) result = listenAt(fd, SOMAXCONN);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** Calls `act` as another user, who may pass all permissions of files as we may. */
function as(uid: number, gid: number, act: () => number): number {
  let result = setEffectiveGid(gid);
  if (result === 0) result = setEffectiveUid(uid);
  if (result === 0 && uid !== 0) result = keepFileAccess();
  if (result === 0) result = act();
  const back = Math.min(setEffectiveUid(0), setEffectiveGid(0));
  if (back < 0) throw new Error(`Cannot become root again: errno ${-back}`);
  return result;
}

self.onmessage = ({ data }) => {
  const result = unshareFs();
  if (result < 0) throw new Error(`Cannot have a root of its own: errno ${-result}`);
  self.postMessage({ tid: gettid() });
  new DoormanThread(data.fd).run();
};
