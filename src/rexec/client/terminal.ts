/** The terminal that this process has, while it stands for one of the program's. */
import { rawModes, setTerminalModes, terminalModes, terminalSize } from "../../sys/terminal.ts";

/** The size of a terminal that does not know its own. */
const UNKNOWN_SIZE = new Uint8Array(8);

export class OwnTerminal {
  readonly #fd: number;
  readonly modes: Uint8Array;
  #isRaw = false;

  /** Throws a sentence where `fd` is no terminal. */
  constructor(fd: number) {
    const modes = terminalModes(fd);
    if (typeof modes === "number") throw new Error("-t needs a terminal as standard input");
    this.#fd = fd;
    this.modes = modes;
  }

  get size(): Uint8Array {
    const size = terminalSize(this.#fd);
    return typeof size === "number" ? UNKNOWN_SIZE : size;
  }

  /** Every key goes to the program, and what it shows is shown as it is. */
  enter(): void {
    this.#isRaw = true;
    setTerminalModes(this.#fd, rawModes(this.modes));
  }

  /** As it was before. */
  leave(): void {
    if (!this.#isRaw) return;
    this.#isRaw = false;
    setTerminalModes(this.#fd, this.modes);
  }
}
