import { expect, test } from "bun:test";
import { type Watch, watch } from "../../src/info/watch.ts";
import { mountReport } from "./samples.ts";

/** What is written in so many looks. */
async function looks(count: number, own: Partial<Watch>): Promise<string[]> {
  const written: string[] = [];
  const { promise: end, resolve } = Promise.withResolvers<void>();
  await watch(
    {
      look: async () => [mountReport()],
      form: "rates",
      isTerminal: false,
      write: (text) => {
        written.push(text);
        if (written.length === count) resolve();
      },
      ...own,
    },
    end,
  );
  return written;
}

test("first all that is known, then what is done", async () => {
  const [first, second] = await looks(2, {});
  expect(first).toStartWith("qtfs mount, process 43\n");
  expect(second).toContain("Nothing is asked for.\n");
});

test("a terminal is cleared each time", async () => {
  expect((await looks(1, { isTerminal: true, form: "list" }))[0]).toStartWith("\x1b[H\x1b[JKIND");
});

test("JSON is a document a line", async () => {
  const [text = ""] = await looks(1, { isTerminal: true, form: "json" });
  expect(text.trimEnd()).not.toContain("\n");
  expect(JSON.parse(text)).toMatchObject({ schema: 1, daemons: [{ kind: "mount", pid: 43 }] });
});

test("it ends with what it watches", async () => {
  const gone = async () => {
    throw new Error("Process 43 is no qtfs server");
  };
  expect(looks(1, { look: gone })).rejects.toThrow("Process 43");
});
