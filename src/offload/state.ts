/**
 * What an offload has done, in /run/qtfs/offload/NAME.SIDE.json: written before and after each
 * step, so that what a killed `up` has left can be undone, and nothing that it found there.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { OffloadConfig } from "../config/offload.ts";
import type { Note, Side } from "./step.ts";

const DIRECTORY = "/run/qtfs/offload";
const VERSION = 1;

interface Content {
  version: number;
  /** As it was at `up`: what is undone, whatever the file says by then. */
  config: OffloadConfig;
  /** By the steps' names, in the order in which they were done. */
  done: Record<string, Note>;
}

export class State {
  readonly #path: string;
  readonly #content: Content;

  private constructor(path: string, content: Content) {
    this.#path = path;
    this.#content = content;
  }

  /** What there is of `config`'s name; empty where there is nothing. */
  static of(config: OffloadConfig, side: Side, directory = DIRECTORY): State {
    const path = `${directory}/${config.name}.${side}.json`;
    return new State(path, read(path) ?? { version: VERSION, config, done: {} });
  }

  /** The configuration that its steps were done with. */
  get config(): OffloadConfig {
    return this.#content.config;
  }

  get isEmpty(): boolean {
    return Object.keys(this.#content.done).length === 0;
  }

  /** The note of a step that this offload has done, or begun. */
  noteOf(step: string): Note | undefined {
    return this.#content.done[step];
  }

  has(step: string): boolean {
    return step in this.#content.done;
  }

  /** Takes note of a step, also of one that is about to be done. */
  done(step: string, note: Note): void {
    this.#content.done[step] = note;
    this.#write();
  }

  undone(step: string): void {
    delete this.#content.done[step];
    if (this.isEmpty) rmSync(this.#path, { force: true });
    else this.#write();
  }

  #write(): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
    const fresh = `${this.#path}.new`;
    writeFileSync(fresh, JSON.stringify(this.#content), { mode: 0o600 });
    renameSync(fresh, this.#path);
  }
}

function read(path: string): Content | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const content = JSON.parse(text) as Content;
  if (content.version !== VERSION) {
    throw new Error(`${path} is of another version of qtfs: use that one's qtfs offload down`);
  }
  return content;
}
