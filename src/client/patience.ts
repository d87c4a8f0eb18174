/** How a mount bears a server that is silent: it asks, then looks for another way, then gives up. */
import { E } from "../sys/errno.ts";
import { Op } from "../wire/ops.ts";
import type { Client } from "./client.ts";
import { Silence, Verdict } from "./silence.ts";

/** More than this on its way to the server shows a link that is slow: questions alone are less. */
const GATHERED_BYTES = 64 * 1024;

export interface PatienceOptions {
  /** Bound on a silence while a request waits; 0 for none. */
  timeoutMs: number;
  log: (level: "info" | "error", text: string) => void;
  /** Looks for the server by another connection. */
  suspect: () => void;
  /** Answers every caller with an errno. */
  failAll: (errno: number) => void;
}

export class Patience {
  readonly #client: Client;
  readonly #options: PatienceOptions;
  readonly #silence: Silence;
  /** Bytes that the server's machine had taken, and had not, when it was last looked at. */
  #takenBytes = 0;
  #untakenBytes = 0;

  constructor(client: Client, options: PatienceOptions) {
    this.#client = client;
    this.#options = options;
    this.#silence = new Silence(options.timeoutMs);
  }

  /** Whether the silence has lasted too long: whatever is asked fails at once. */
  get isOver(): boolean {
    return this.#silence.tooLong;
  }

  /** The server said something, or nothing is asked of it. */
  heard(): void {
    this.#tell(this.#silence.broken());
  }

  /** There is another connection to it. */
  begunAnew(): void {
    this.#tell(this.#silence.begunAnew());
  }

  /** A request was answered. */
  progress(): void {
    this.#silence.progressed();
  }

  suspectedInVain(): void {
    this.#silence.suspectedInVain();
  }

  /** To be called often while something is asked. */
  begin(nowNs: number): void {
    this.#silence.begin(nowNs);
  }

  /** We were away ourselves. */
  restart(nowNs: number): void {
    this.#silence.restart(nowNs);
  }

  /** Does what the silence asks for by now. */
  check(nowNs: number): void {
    if (this.#isTaking()) this.#silence.restart(nowNs);
    const verdict = this.#silence.judge(nowNs);
    if (verdict === Verdict.PROBE) this.#probe();
    if (verdict === Verdict.SUSPECT || verdict === Verdict.GIVE_UP) this.#options.suspect();
    if (verdict === Verdict.GIVE_UP) this.#giveUp();
  }

  #probe(): void {
    this.#silence.probed();
    if (!this.#client.hasSlot) return;
    this.#client.askForOurselves(Op.PING);
    this.#client.send();
  }

  #giveUp(): void {
    const { failAll, log, timeoutMs } = this.#options;
    if (!this.#silence.tooLong) {
      log("error", `The server has been silent for ${timeoutMs} ms: requests fail with EIO`);
    }
    this.#silence.tooLong = true;
    failAll(E.EIO);
  }

  /**
   * Whether the server's machine takes what had gathered on the way to it: then the
   * server is not silent, what it is asked is behind that on a slow link.
   */
  #isTaking(): boolean {
    const { bytesSent, bytesUntaken } = this.#client.transport;
    const taken = bytesSent - bytesUntaken;
    const isTaking = this.#untakenBytes > GATHERED_BYTES && taken > this.#takenBytes;
    this.#takenBytes = taken;
    this.#untakenBytes = bytesUntaken;
    return isTaking;
  }

  #tell(isBack: boolean): void {
    if (isBack) this.#options.log("info", "The server answers again");
  }
}
