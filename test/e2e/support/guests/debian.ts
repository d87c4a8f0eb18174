/**
 * Debian's packages for guests, of this machine's architecture or another: downloaded by apt,
 * unpacked, never installed. They are kept in /var/cache for the next test.
 */
import { existsSync, mkdirSync } from "node:fs";
import { run } from "../run.ts";

export type Architecture = "amd64" | "arm64";

const CACHE = "/var/cache/qtfs-guests";
const DOWNLOAD_MS = 300_000;

/** For apt: lists of the architecture's own, so that nothing of this machine's is changed. */
function aptOptions(architecture: Architecture): string[] {
  const place = `${CACHE}/apt-${architecture}`;
  for (const folder of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(`${place}/${folder}`, { recursive: true, mode: 0o755 });
  }
  const options = [
    ...[`APT::Architecture=${architecture}`, `APT::Architectures=${architecture}`],
    ...[`Dir::State::Lists=${place}/lists`, `Dir::Cache=${place}/cache`],
    ...["Dir::State::status=/dev/null", "APT::Sandbox::User=root", "Acquire::Retries=3"],
  ];
  return options.flatMap((option) => ["-o", option]);
}

/** Runs a script that no other test's may disturb. */
async function alone(script: string): Promise<string> {
  const words = ["flock", `${CACHE}/lock`, "bash", "-euc", script];
  const { code, stdout, stderr } = await run(words, { timeoutMs: DOWNLOAD_MS });
  if (code !== 0) throw new Error(`${script}\n${stdout}${stderr}`);
  return stdout;
}

function update(architecture: Architecture): Promise<string> {
  return alone(`apt-get -q ${aptOptions(architecture).join(" ")} update`);
}

/** What `apt-cache words` says; its lists are fetched where it knows nothing. */
export async function aptCache(architecture: Architecture, ...words: string[]): Promise<string> {
  const command = ["apt-cache", ...aptOptions(architecture), ...words];
  const first = await run(command);
  if (first.code === 0 && first.stdout !== "") return first.stdout;
  await update(architecture);
  return (await run(command)).stdout;
}

/** The directory in which the files of package `name` are that match `patterns`, of each some. */
export async function unpacked(
  architecture: Architecture,
  name: string,
  patterns: readonly string[],
): Promise<string> {
  const version = Bun.hash(patterns.join()).toString(36);
  const directory = `${CACHE}/${name}-${architecture}-${version}`;
  if (existsSync(directory)) return directory;
  const fresh = `${directory}.new`;
  const files = patterns.map((one) => `'./${one}'`).join(" ");
  const download = () =>
    alone(
      `test ! -e ${directory} || exit 0
      rm -rf ${fresh} && mkdir -p ${fresh} && cd ${fresh}
      apt-get -q ${aptOptions(architecture).join(" ")} download ${name}
      dpkg-deb --fsys-tarfile *.deb | tar -x --wildcards ${files}
      rm *.deb && mv ${fresh} ${directory}`,
    );
  try {
    await download();
  } catch {
    // Debian may have replaced what the lists name.
    await update(architecture);
    await download();
  }
  return directory;
}
