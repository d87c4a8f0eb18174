/**
 * The keeper of a rexec-server: a process that has its programs, and all that belongs to them:
 * it is their parent and has their pipes, terminals, streams and sessions, and their clients'
 * connections. The server gives it clients; how it outlives servers, keeper/kept.ts says. Without
 * one it keeps programs for the lease, as if their clients' connections were lost; those that
 * are to outlive that, on.
 */
import { Loop } from "../../bridge/loop.ts";
import { BUILD, machineFacts } from "../../info/facts.ts";
import { Keeper, type Keeping, type Parting, type ServerChannel } from "../../keeper/kept.ts";
import { exitNow, raiseNoFileLimit, setProcessName, umask } from "../../sys/process.ts";
import type { FromKeeper, ToKeeper } from "./channel.ts";
import { KeeperControl } from "./control.ts";
import { KEEPER_NAME, slotsPath } from "./place.ts";
import type { Rule } from "./rules.ts";
import { Service } from "./service.ts";
import { ProgramSlots } from "./slots.ts";

type Said = Exclude<ToKeeper, Parting>;

/** Serves until it has nothing to keep and no server; `path` is the name of its socket. */
export function serveKeeper(path: string): never {
  setProcessName(KEEPER_NAME);
  raiseNoFileLimit();
  umask(0);
  const loop = new Loop();
  const keeper = new Keeper<Said, FromKeeper>(loop, path, (keeper) => {
    return new Programs(loop, path, keeper);
  });
  keeper.run([slotsPath(path)]);
  return exitNow(0);
}

class Programs implements Keeping<Said, FromKeeper> {
  readonly #keeper: Keeper<Said, FromKeeper>;
  readonly #service: Service;
  readonly #control: KeeperControl;
  #rules: Rule[] = [];

  constructor(loop: Loop, path: string, keeper: Keeper<Said, FromKeeper>) {
    this.#keeper = keeper;
    this.#service = new Service({
      loop,
      facts: machineFacts(),
      slots: new ProgramSlots(slotsPath(path)),
      groups: process.getgroups?.() ?? [],
      log: (level, text) => keeper.log(level, text),
      changed: (report) => keeper.tell({ kind: "program", report }),
    });
    this.#control = new KeeperControl(loop, this.#service, () => keeper.isServed);
  }

  get isIdle(): boolean {
    return this.#service.isIdle;
  }

  get leaseMs(): number {
    return this.#service.leaseMs;
  }

  came(server: ServerChannel<Said, FromKeeper>): void {
    this.#rules = [];
    const { isIdle, register } = this.#service;
    server.send({ kind: "hello", pid: process.pid, build: BUILD, isIdle });
    for (const report of register.reports().reverse()) server.send({ kind: "program", report });
  }

  heard(message: Said, fd: number): void {
    const service = this.#service;
    if (message.kind === "rule") this.#rules.push(message.rule);
    else if (message.kind === "serve") service.configure(this.#rules, message.leaseMs);
    else if (message.kind === "revoked") service.revoke(message.name);
    else if (message.kind === "closed") service.closed(message.relay);
    // The kernel has closed one for which there was no number.
    else if (fd < 0) this.#keeper.log("warn", "Closed a connection: too many descriptors are open");
    else service.take(fd, message.client, message.hello);
  }

  end(which: "all" | "unkept"): void {
    this.#service.end(which);
  }

  close(): void {
    this.#control.close();
  }
}
