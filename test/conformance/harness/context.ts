/** What a case is given: its directory's name and other processes to act with. */
import type { Identity } from "../posix/process.ts";
import { type Actor, ActorProcess, asActor } from "./actor-client.ts";

/** Actors that stay between cases, by identity: starting one costs more than most cases. */
export class ActorPool {
  readonly #scratch: string;
  readonly #idle = new Map<string, ActorProcess[]>();
  readonly #lent: { key: string; actor: ActorProcess }[] = [];

  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  /** An actor of that identity, in `directory` (a name under the scratch directory). */
  async lend(identity: Identity, directory: string): Promise<Actor> {
    const key = JSON.stringify(identity);
    const actor = this.#idle.get(key)?.pop() ?? new ActorProcess(this.#scratch, identity);
    this.#lent.push({ key, actor });
    await actor.call("enter", [directory]);
    return asActor(actor);
  }

  /** Takes the actors back; one that is still in a call is killed, and that is reported. */
  async takeBack(): Promise<string | undefined> {
    let complaint: string | undefined;
    for (const { key, actor } of this.#lent.splice(0)) {
      if (!actor.alive) continue;
      if (actor.busy) {
        complaint = "The case ended while a call of its actor was under way";
        await actor.kill();
        continue;
      }
      await actor.call("leave", []);
      const idle = this.#idle.get(key) ?? [];
      idle.push(actor);
      this.#idle.set(key, idle);
    }
    return complaint;
  }
}

export class Context {
  /** The absolute path of the case's directory, which is the working directory too. */
  readonly directory: string;
  readonly #pool: ActorPool;
  readonly #name: string;

  constructor(pool: ActorPool, scratch: string, name: string) {
    this.#pool = pool;
    this.#name = name;
    this.directory = `${scratch}/${name}`;
  }

  /** Another process of root. */
  peer(): Promise<Actor> {
    return this.user(0);
  }

  /** A process of `uid`, with its gid and supplementary groups. */
  user(uid: number, gid = uid, groups: readonly number[] = []): Promise<Actor> {
    return this.#pool.lend({ uid, gid, groups }, this.#name);
  }
}
