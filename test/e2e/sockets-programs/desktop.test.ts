/**
 * What a person has open: ssh-agent, a shared ssh connection (its clients pass stdin, stdout
 * and stderr), tmux (its clients pass their terminal), X11. One machine serves, the other uses.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Machines } from "../support/machines.ts";
import { until } from "../support/program.ts";
import { sh } from "../support/run.ts";

const NOBODY = 65534;
const machines = await Machines.start();
afterAll(() => machines.close());
const { scratch } = machines;
const key = `${scratch}/key`;

beforeAll(async () => {
  await sh(
    `ssh-keygen -q -t ed25519 -N '' -C a-comment -f ${key}; cp ${key}.pub ${scratch}/allowed`,
  );
  const lines = [
    `HostKey ${key}`,
    `AuthorizedKeysFile ${scratch}/allowed`,
    ...["PermitRootLogin yes", "StrictModes no", "UsePAM no", "UseDNS no", "PidFile none"],
  ];
  writeFileSync(`${scratch}/sshd_config`, lines.map((line) => `${line}\n`).join(""));
});

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  test("ssh-agent keeps a key, signs with it, and tells who asks", async () => {
    const path = `${directory()}/agent`;
    const agent = server.spawn(["ssh-agent", "-D", "-a", path]);
    await agent.prints("SSH_AUTH_SOCK");
    const env = { SSH_AUTH_SOCK: path };
    await client.sh(`ssh-add -q ${key}`, { env });
    expect(await client.sh("ssh-add -l", { env })).toContain("a-comment (ED25519)\n");
    // It is the agent that signs: the file named has the public half alone.
    await client.sh(
      `echo to sign | ssh-keygen -q -Y sign -n test -f ${key}.pub >${scratch}/signature
       echo to sign | ssh-keygen -q -Y check-novalidate -n test -s ${scratch}/signature`,
      { env },
    );
    await server.sh(`chmod 777 ${path}`);
    const other = await client.run(["ssh-add", "-l"], { env, uid: NOBODY });
    expect(other.code).not.toBe(0);
    await agent.prints(`uid mismatch: peer euid ${NOBODY}`);
    await client.sh("ssh-add -qD", { env });
    expect((await server.run(["ssh-add", "-l"], { env })).stdout).toContain("no identities");
    await agent.stop();
  });

  test("ssh through the connection that another ssh keeps", async () => {
    const path = `${directory()}/control`;
    await server.sh("mkdir -p /run/sshd");
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
    const ssh = ["ssh", "-F", "none", "-S", path, ...options.flatMap((option) => ["-o", option])];
    const proxy = `ProxyCommand=/usr/sbin/sshd -i -f ${scratch}/sshd_config`;
    const master = server.spawn([...ssh, "-M", "-N", "-i", key, "-o", proxy, "root@there"]);
    const check = [...ssh, "-O", "check", "there"];
    await until(
      async () => (await client.run(check)).stderr.includes("Master running"),
      () => `${master}`,
    );
    const script = "cat; hostname; echo problem >&2; exit 3";
    const remote = client.spawn([...ssh, "root@there", script]);
    remote.say("from stdin\n");
    remote.closeStdin();
    expect(await remote.ended()).toBe(3);
    expect(remote.stdout).toBe(`from stdin\n${server.name}\n`);
    expect(remote.stderr).toContain("problem\n");
    const there = `${ssh.join(" ")} root@there`;
    const sum = await client.sh(
      `head -c 3000000 /dev/zero | ${there} 'cat; head -c 3000000 /dev/zero' | sha1sum`,
    );
    expect(sum).toBe(await sh("head -c 6000000 /dev/zero | sha1sum"));
    await client.run([...ssh, "-O", "exit", "there"]);
    await master.ended();
  });

  test("tmux attaches, types, is resized and dies", async () => {
    const path = `${directory()}/tmux`;
    const tmux = `tmux -S ${path} -f /dev/null`;
    const env = { TERM: "xterm", PS1: "$ " };
    await server.sh(`${tmux} new-session -d -x 80 -y 24 bash --norc --noprofile`, { env });
    const attach = `stty rows 30 cols 100; tty >${path}.tty; ${tmux} attach; echo left with $?`;
    const terminal = client.spawn(["script", "-qec", attach, "/dev/null"], { env });
    const format = "#{client_width}x#{client_height}";
    const clients = () => server.sh(`${tmux} list-clients -F '${format}'`);
    await until(
      async () => (await clients()) === "100x30\n",
      () => `an attached client: ${terminal}`,
    );
    terminal.say("echo $((6 * 7)) answers\r");
    await terminal.prints("42 answers");
    expect(await server.sh(`${tmux} capture-pane -p`)).toContain("42 answers");
    await client.sh(`stty -F $(cat ${path}.tty) cols 120`);
    await until(
      async () => (await clients()) === "120x30\n",
      () => `a client of another size: ${terminal}`,
    );
    await server.sh(`${tmux} detach-client -a -t none || ${tmux} detach-client`);
    await terminal.prints("left with 0");
    expect(await terminal.ended()).toBe(0);

    const again = client.spawn(["script", "-qec", `${tmux} attach`, "/dev/null"], { env });
    await until(
      async () => (await clients()) !== "",
      () => `a second client: ${again}`,
    );
    await again.stop("SIGKILL");
    await until(
      async () => (await clients()) === "",
      () => "the end of a killed client",
    );
    await server.sh(`${tmux} kill-server`);
  });

  test("X11: one client's property is another's", async () => {
    const here = directory();
    for (const machine of new Set([server, client])) {
      await machine.sh(`mkdir -p /tmp/.X11-unix; mount --bind ${here} /tmp/.X11-unix`);
    }
    const screen = ["-screen", "0", "640x480x24", "-nolisten", "tcp"];
    const xvfb = server.spawn(["Xvfb", "-displayfd", "1", ...screen, "-noreset"]);
    await xvfb.prints(/^\d+\n/);
    const env = { DISPLAY: `:${xvfb.stdout.trim()}` };
    expect(await client.sh("xdpyinfo", { env })).toContain("640x480 pixels");
    await client.sh("xprop -root -f MINE 8s -set MINE $(printf 'x%.0s' {1..2000})", { env });
    const property = await server.sh("xprop -root MINE", { env });
    expect(property).toBe(`MINE(STRING) = "${"x".repeat(2000)}"\n`);
    const spy = client.spawn(["xprop", "-root", "-spy", "MINE"], { env });
    await spy.prints("xxx");
    await server.sh("xprop -root -f MINE 32c -set MINE 4711", { env });
    await spy.prints("4711");
    await xvfb.stop();
    expect(await spy.ended()).not.toBe(0);
    for (const machine of new Set([server, client])) await machine.sh("umount /tmp/.X11-unix");
  });
});
