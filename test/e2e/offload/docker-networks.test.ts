/** dockerd's own networks, of the DPU, for containers on the HOST. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DPU_ADDRESS, HOST_ADDRESS } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { IMAGE, Stage } from "./stage.ts";

const MINUTE = 60_000;
const NAME = IMAGE.replace("docker.io/library/", "");
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.begin([
    'profile = "docker"',
    `rexec_back = "tcp://${DPU_ADDRESS}:7001"`,
    "[networks]",
    `host = "${HOST_ADDRESS}"`,
    `dpu = "${DPU_ADDRESS}"`,
  ]);
  await stage.offload("up");
  await docker(`load -i ${stage.image}`);
}, MINUTE);
afterAll(() => stage.end(), MINUTE);

const DOCKER = "docker -H unix:///run/docker.sock";
const docker = (words: string) => stage.dpu.sh(`${DOCKER} ${words}`);

/** Waits until a command on the DPU prints `text`. */
async function prints(command: string, text: string): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const { stdout, stderr } = await stage.dpu.run(["bash", "-c", command]);
      seen = `${stdout}${stderr}`;
      return stdout === text;
    },
    () => `${command}, which printed ${seen}`,
  );
}

test(
  "a container is on the default bridge, with the address that docker says, and its port is published",
  async () => {
    const serve = "mkdir /w; echo web >/w/index.html; exec httpd -f -p 80 -h /w";
    await docker(`run -d --name web -p 8080:80 ${NAME} sh -c '${serve}'`);
    const ip = (await docker("inspect -f '{{.NetworkSettings.IPAddress}}' web")).trim();
    expect(ip).toMatch(/^172\./);
    const shown = await docker(
      "exec web sh -c 'ip -4 -o address show dev eth0; ip route; sleep 0.5'",
    );
    expect(shown).toContain(`inet ${ip}/16`);
    expect(shown).toContain("default via 172.17.0.1 dev eth0");
    await prints(`timeout 3 busybox wget -qO- http://${ip}/`, "web\n");
    await prints(`timeout 3 busybox wget -qO- http://${DPU_ADDRESS}:8080/`, "web\n");
    // From outside: the DPU's rules lead there.
    expect(await stage.host.sh(`timeout 10 busybox wget -qO- http://${DPU_ADDRESS}:8080/`)).toBe(
      "web\n",
    );
    expect(await stage.host.sh("ip -o link")).not.toContain("docker0");
  },
  MINUTE,
);

test(
  "containers reach each other, on networks of their own too, and what is large arrives whole",
  async () => {
    const ip = (await docker("inspect -f '{{.NetworkSettings.IPAddress}}' web")).trim();
    // The first that is too large for both headers tells how large others may be (PMTU).
    const fetched = await docker(
      `run --rm ${NAME} sh -c 'timeout 10 wget -qO- http://${ip}/; ping -c 3 -s 1472 ${ip} >/ping; grep -q "bytes from" /ping && echo large; sleep 0.5'`,
    );
    expect(fetched).toBe("web\nlarge\n");
    await docker("network create --subnet 10.99.0.0/24 own");
    const serve = "mkdir /w; head -c 3000000 /dev/zero >/w/large; exec httpd -f -p 80 -h /w";
    await docker(`run -d --name source --network own --ip 10.99.0.7 ${NAME} sh -c '${serve}'`);
    const fetch = "timeout 20 wget -qO- http://10.99.0.7/large | sha1sum";
    const sum = await stage.dpu.sh("head -c 3000000 /dev/zero | sha1sum");
    await prints(`${DOCKER} run --rm --network own ${NAME} sh -c '${fetch}; sleep 0.5'`, sum);
    const apart = await docker(
      `run --rm --network own ${NAME} sh -c 'ping -c 1 -W 1 ${ip} >/dev/null || echo apart; sleep 0.5'`,
    );
    expect(apart).toBe("apart\n");
  },
  MINUTE,
);

test(
  "with its container a network's interfaces go, on both machines",
  async () => {
    await docker("restart -t 0 web");
    const ip = (await docker("inspect -f '{{.NetworkSettings.IPAddress}}' web")).trim();
    await prints(`timeout 3 busybox wget -qO- http://${ip}/`, "web\n");
    await docker("rm -f web source");
    await docker("network rm own");
    for (const machine of [stage.host, stage.dpu]) {
      let seen = "";
      await until(
        async () => {
          seen = await machine.sh(
            "ip -o link show type vxlan; ip -o link show type veth; grep netns/ /proc/mounts || true",
          );
          return !/qtfs|veth|netns/.test(seen.replace(/^.*wire.*$/gm, ""));
        },
        () => `the end of ${seen}`,
      );
    }
    await stage.offload("down");
  },
  MINUTE,
);
