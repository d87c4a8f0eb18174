import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { OffloadConfig } from "../../src/config/offload.ts";
import { down, up } from "../../src/offload/carryout.ts";
import { State } from "../../src/offload/state.ts";
import type { Step } from "../../src/offload/step.ts";

const CONFIG: OffloadConfig = {
  profile: "containerd",
  name: "test",
  server: { kind: "unix", path: "/a" },
  rexec: { kind: "unix", path: "/b" },
  insecure: false,
  rootfs: "/root",
  binds: [],
  shares: [],
  routes: [],
  abstract: [],
  services: [],
};

/** A world in which steps are words in a set. */
class World {
  readonly stands = new Set<string>();
  readonly said: string[] = [];
  readonly notes: unknown[] = [];
  readonly directory = mkdtempSync(`${tmpdir()}/carryout-`);

  state(): State {
    return State.of(CONFIG, "dpu", this.directory);
  }

  step(name: string, fails = false): Step {
    return {
      name,
      commands: [],
      isDone: () => this.stands.has(name),
      run: () => {
        if (fails) throw new Error(`no ${name}`);
        this.stands.add(name);
        return `note of ${name}`;
      },
      undo: (note) => {
        this.notes.push(note);
        this.stands.delete(name);
      },
    };
  }

  readonly tell = (line: string) => {
    this.said.push(line.replace(/ +/, " "));
  };
}

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => rmSync(world.directory, { recursive: true }));

describe("up", () => {
  test("does what does not stand, in order", async () => {
    world.stands.add("b");
    const steps = ["a", "b", "c"].map((name) => world.step(name));
    await up(steps, world.state(), world.tell);
    expect(world.said).toEqual(["done a", "stands b", "done c"]);
    const state = world.state();
    expect([state.noteOf("a"), state.noteOf("b")]).toEqual(["note of a", undefined]);
  });

  test("undoes what it did now when a step fails, and nothing that stood", async () => {
    const first = world.step("a");
    await up([first], world.state(), world.tell);
    const steps = [first, world.step("b"), world.step("c", true), world.step("d")];
    await expect(up(steps, world.state(), world.tell)).rejects.toThrow("no c");
    expect([...world.stands]).toEqual(["a"]);
    expect(world.state().has("b")).toBe(false);
    expect(world.state().has("a")).toBe(true);
  });

  test("leaves word of a step in which it is killed", async () => {
    const stuck: Step = { ...world.step("a"), run: () => new Promise(() => {}) };
    void up([stuck], world.state(), world.tell);
    await Bun.sleep(0);
    expect(world.state().has("a")).toBe(true);
  });
});

describe("down", () => {
  test("undoes the last first, with the notes that were kept, and leaves no state", async () => {
    const steps = ["a", "b"].map((name) => world.step(name));
    await up(steps, world.state(), world.tell);
    await down(steps, world.state(), world.tell);
    expect(world.said.slice(2)).toEqual(["undone b", "undone a"]);
    expect(world.notes).toEqual(["note of b", "note of a"]);
    expect(existsSync(`${world.directory}/test.dpu.json`)).toBe(false);
  });

  test("goes on where one cannot be undone, and says which", async () => {
    const broken: Step = {
      ...world.step("b"),
      undo: () => {
        throw new Error("busy");
      },
    };
    const steps = [world.step("a"), broken, world.step("c")];
    await up(steps, world.state(), world.tell);
    await expect(down(steps, world.state(), world.tell)).rejects.toThrow("b: busy");
    expect([...world.stands]).toEqual(["b"]);
    expect(world.state().has("b")).toBe(true);
  });

  test("goes by the configuration of up", async () => {
    await up([world.step("a")], world.state(), world.tell);
    const other = State.of({ ...CONFIG, rootfs: "/other" }, "dpu", world.directory);
    expect(other.config.rootfs).toBe("/root");
  });
});

test("a state of another version is refused", async () => {
  await up([world.step("a")], world.state(), world.tell);
  const path = `${world.directory}/test.dpu.json`;
  writeFileSync(path, readFileSync(path, "utf8").replace('"version":1', '"version":99'));
  expect(() => world.state()).toThrow("another version");
});
