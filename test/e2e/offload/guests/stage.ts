/** `qtfs offload` between two guests with kernels of their own, and an image made from busybox. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type GuestPair, startGuestPair } from "../../support/guests/pair.ts";
import { HOST_ADDRESS } from "../../support/machines.ts";
import { QTFS } from "../../support/server.ts";
import { makeImage, ROOT } from "../stage.ts";

/** Emulated processors are slow, and a loaded machine makes them slower. */
export const BOUND_MS = 300_000;
const CONFIG = "/run/offload.toml";
/** What the kernel says of a boot of it: no two are the same. */
const BOOT = "/proc/sys/kernel/random/boot_id";

export class GuestStage {
  readonly #directory: string;
  readonly #pair: GuestPair;

  private constructor(directory: string, pair: GuestPair) {
    this.#directory = directory;
    this.#pair = pair;
  }

  /** Two guests with state directories in their memory, and a configuration for `profile`. */
  static async begin(profile: string): Promise<GuestStage> {
    const directory = mkdtempSync(`${tmpdir()}/guests-`);
    try {
      await makeImage(directory);
      const stage = new GuestStage(directory, await startGuestPair(directory, ["fuse"]));
      const both = [stage.host(PREPARE(profile)), stage.dpu(PREPARE(profile))];
      await Promise.all(both).catch(async (error) => {
        await stage.#pair.stop();
        throw error;
      });
      return stage;
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
  }

  get image(): string {
    return `${this.#directory}/image.tar`;
  }

  /** Runs scripts on the HOST, and on the DPU. */
  readonly host = (script: string) => this.#pair.host.sh(script, BOUND_MS);
  readonly dpu = (script: string) => this.#pair.dpu.sh(script, BOUND_MS);

  /** Which boot of a kernel it is, of the HOST and of the DPU. */
  async boots(): Promise<[host: string, dpu: string]> {
    return [await this.host(`cat ${BOOT}`), await this.dpu(`cat ${BOOT}`)];
  }

  async up(): Promise<void> {
    await this.host(`${QTFS} offload up --side host --config ${CONFIG}`);
    await this.dpu(`${QTFS} offload up --config ${CONFIG}`);
  }

  /** Undoes it; what is left of it on both, a line each. */
  async down(): Promise<string> {
    await this.dpu(`${QTFS} offload down --config ${CONFIG}`);
    await this.host(`${QTFS} offload down --side host --config ${CONFIG}`);
    const left = `ps -eo comm= | grep -E 'qtfs|docker|containerd|sleep' || true
      grep -E '^overlay|fuse.qtfs|${ROOT}' /proc/mounts || true`;
    return (await this.host(left)) + (await this.dpu(left));
  }

  async end(): Promise<void> {
    await this.#pair.stop();
    rmSync(this.#directory, { recursive: true });
  }
}

/** A script: overlayfs, which containers are made of, cannot have layers of itself. */
const PREPARE = (profile: string) => `
  for path in /var/lib/{containerd,docker,cni,qtfs} /srv /var/log; do
    mkdir -p $path
    mount -t tmpfs tmpfs $path
  done
  printf '%s\\n' 'profile = "${profile}"' 'insecure = true' 'rootfs = "${ROOT}"' \\
    'server = "tcp://${HOST_ADDRESS}:7000"' 'rexec = "tcp://${HOST_ADDRESS}:7001"' >${CONFIG}`;
