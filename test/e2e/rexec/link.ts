/** A link to a rexec-server that breaks when it is told to. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** What stands between clients and the server at `rexec.sock` of a directory. */
export class Link {
  readonly path: string;
  readonly #target: string | number;
  readonly #isTcp: boolean;
  readonly #server: Server;
  #sockets: Socket[] = [];
  #isClosed = false;
  connections = 0;
  /** Breaks after so many bytes to the server, over and over. */
  readonly #breaksAfter: number;
  #bytes = 0;

  /** `port`: of a server at 127.0.0.1, whose clients come by TCP, too. */
  constructor(
    directory: string,
    name: string,
    breaksAfter = Number.POSITIVE_INFINITY,
    port?: number,
  ) {
    this.#breaksAfter = breaksAfter;
    this.path = `${directory}/${name}.sock`;
    this.#isTcp = port !== undefined;
    this.#target = port ?? `${directory}/rexec.sock`;
    this.#server = createServer((near) => this.#join(near));
  }

  async begin(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#isTcp) this.#server.listen(0, "127.0.0.1", resolve);
    else this.#server.listen(this.path, resolve);
    await promise;
  }

  /** Where clients find it. */
  get address(): string {
    const where = this.#server.address();
    const isInet = where !== null && typeof where === "object";
    return isInet ? `tcp://127.0.0.1:${where.port}` : `unix://${this.path}`;
  }

  #join(near: Socket): void {
    if (this.#isClosed) {
      near.destroy();
      return;
    }
    this.connections++;
    const far =
      typeof this.#target === "number" ? connect(this.#target, "127.0.0.1") : connect(this.#target);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.pipe(far).pipe(near);
    near.on("data", (part) => {
      this.#bytes += part.length;
      if (this.#bytes < this.#breaksAfter) return;
      this.#bytes = 0;
      this.cut();
    });
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    this.#sockets.push(near, far);
  }

  cut(): void {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  /** No connection gets through while it is so. */
  set closed(isClosed: boolean) {
    this.#isClosed = isClosed;
    if (isClosed) this.cut();
  }

  end(): void {
    this.cut();
    this.#server.close();
  }
}
