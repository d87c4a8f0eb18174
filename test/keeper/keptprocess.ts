/** A keeper that adds up what servers say, and tells each that comes: kept.test.ts. */
import { Loop } from "../../src/bridge/loop.ts";
import { Keeper, type Keeping } from "../../src/keeper/kept.ts";

interface Message {
  kind: string;
  n: number;
}

class Sum implements Keeping<Message, Message> {
  readonly isIdle = true;
  readonly leaseMs = 20_000;
  #sum = 0;

  came(server: { send(message: Message): void }): void {
    server.send({ kind: "sum", n: this.#sum });
  }

  heard({ n }: Message): void {
    this.#sum += n;
  }

  end(): void {}

  close(): void {}
}

new Keeper<Message, Message>(new Loop(), process.argv.at(-1) ?? "", () => new Sum()).run();
process.exit(0);
