/** The executable for arm64, made here. */
import { sh } from "./run.ts";

/** Makes it where it is not, or not of what src/ is now; returns its path. */
export async function buildForArm64(): Promise<string> {
  const root = new URL("../../..", import.meta.url).pathname;
  await sh(`${root}/scripts/build --arch arm64`);
  return `${root}dist/qtfs-arm64`;
}
