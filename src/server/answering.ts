/** Whether what is exported can be reached at all. */
import { statfs } from "node:fs/promises";

/** How long a file system may take to say how full it is, which none answers from a cache. */
const ANSWER_MS = 2_000;

/** Questions that have not come back, by path: each holds a thread of the runtime. */
const asked = new Map<string, Promise<unknown>>();

/** Those of `paths` whose file system is silent. */
export async function silentOnes(paths: readonly string[]): Promise<string[]> {
  const answers = paths.map((path) => {
    const answer = asked.get(path) ?? statfs(path).catch(() => {});
    asked.set(path, answer);
    return answer.then(() => asked.delete(path));
  });
  await Promise.race([Promise.all(answers), Bun.sleep(ANSWER_MS)]);
  return paths.filter((path) => asked.has(path));
}
