/** Builds peer/, the Go program of which each test of sockets runs two. */
import { sh } from "./run.ts";

const REPOSITORY = new URL("../../../", import.meta.url).pathname;

/** Builds it, static, into `directory`; returns the path of the program. */
export async function buildPeer(directory: string): Promise<string> {
  const program = `${directory}/peer`;
  const env = {
    GO111MODULE: "off",
    GOFLAGS: "",
    CGO_ENABLED: "0",
    // Kept, for several parts build it.
    GOCACHE: `${REPOSITORY}.cache/go-build`,
  };
  await sh(`cd ${import.meta.dir}/peer && go build -o ${program} .`, { env });
  return program;
}
