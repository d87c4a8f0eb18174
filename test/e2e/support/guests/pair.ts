/** Two guests with this machine's files, joined by a wire: a HOST and a DPU. */
import { DPU_ADDRESS, HOST_ADDRESS } from "../machines.ts";
import { fetchKernel } from "./kernel.ts";
import { WholeGuest } from "./whole.ts";

const ADDRESSES = { host: HOST_ADDRESS, dpu: DPU_ADDRESS };
type Side = keyof typeof ADDRESSES;

export interface GuestPair {
  host: WholeGuest;
  dpu: WholeGuest;
  stop(): Promise<void>;
}

/** The end of the wire at `side`: frames go as datagrams between two sockets in `directory`. */
function wire(directory: string, side: Side): string[] {
  const other = side === "host" ? "dpu" : "host";
  const ends = [
    ...["local.type=unix", `local.path=${directory}/${side}.wire`],
    ...["remote.type=unix", `remote.path=${directory}/${other}.wire`],
  ];
  const address = `52:54:00:00:00:0${side === "host" ? 1 : 2}`;
  return [
    ...["-netdev", ["dgram,id=wire", ...ends].join()],
    ...["-device", `virtio-net-pci,netdev=wire,mac=${address}`],
  ];
}

/** Switches both on; `modules`: beside those for files and the wire. `directory`: for their files. */
export async function startGuestPair(directory: string, modules: string[]): Promise<GuestPair> {
  const kernel = await fetchKernel();
  const start = async (side: Side) => {
    const devices = wire(directory, side);
    const options = { kernel, modules: ["virtio_net", ...modules], devices };
    const one = await WholeGuest.start(directory, side, options);
    const script = `hostname ${side}
      ip link set eth0 up
      ip address add ${ADDRESSES[side]}/24 dev eth0`;
    await one.sh(script).catch(async (error) => {
      await one.stop();
      throw error;
    });
    return one;
  };
  const both = await Promise.allSettled([start("host"), start("dpu")]);
  const [host, dpu] = both.map((one) => (one.status === "fulfilled" ? one.value : undefined));
  const stop = async () => {
    await host?.stop();
    await dpu?.stop();
  };
  if (host !== undefined && dpu !== undefined) return { host, dpu, stop };
  await stop();
  throw both.find((one) => one.status === "rejected")?.reason;
}
