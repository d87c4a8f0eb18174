/**
 * What the programs that tested the original did, and what it did wrong at them
 * (descriptors of files and pipes: descriptors.test.ts; 20 connects: ../sockets-load).
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Machines } from "../support/machines.ts";
import { buildPeer } from "../support/peer.ts";

const machines = await Machines.start({ alone: true });
afterAll(() => machines.close());
const peer = await buildPeer(machines.scratch);
/** More than it had threads and connections for. */
const READERS = 100;

describe.each(machines.ways)("$name", ({ server, client, directory }) => {
  /** Names f0 and on, all of them FIFOs, and what their readers are to get. */
  const makeFifos = async (count: number): Promise<[string, string]> => {
    const here = directory();
    const texts = Array.from({ length: count }, (_, i) => `this is f${i}\n`);
    await server.sh(`for i in {0..${count - 1}}; do mkfifo f$i; done`, { cwd: here });
    return [here, texts.join("")];
  };

  test("many readers that wait in open(2) hold up nobody, and each gets its own", async () => {
    const [here, texts] = await makeFifos(READERS + 1);
    const last = READERS - 1;
    const cats = `for i in {0..${last}}; do cat f$i >out$i & done; echo ready; wait`;
    const readers = client.spawn(["bash", "-c", cats], { cwd: here });
    await readers.prints("ready");
    await client.sh(
      `until [ $(pgrep -cx cat) = ${READERS} ]; do sleep 0.02; done
       echo beside >file; [ "$(cat file)" = beside ]; mv file other; rm other
       echo through >f${READERS} & [ "$(cat f${READERS})" = through ]; wait`,
      { cwd: here },
    );
    await server.sh(`for i in {0..${last}}; do echo this is f$i >f$i; done`, { cwd: here });
    await readers.output();
    const got = await client.sh(`for i in {0..${last}}; do cat out$i; done`, { cwd: here });
    expect(got).toBe(texts.slice(0, texts.lastIndexOf("this")));
  });

  test("many readers that wait in read(2), of writers that are silent at first", async () => {
    const [here, texts] = await makeFifos(READERS);
    const last = READERS - 1;
    const cats = `for i in {0..${last}}; do cat f$i >out$i & done; wait`;
    const readers = client.spawn(["bash", "-c", cats], { cwd: here });
    const open = `for i in {0..${last}}; do exec {fd}>f$i; fds[i]=$fd; done; echo ready; read`;
    const write = `for i in {0..${last}}; do echo this is f$i >&\${fds[i]}; done`;
    const writers = server.spawn(["bash", "-c", `${open}; ${write}`], { cwd: here });
    await writers.prints("ready");
    expect(await client.sh("echo beside; ls | wc -l", { cwd: here })).toBe(
      `beside\n${2 * READERS}\n`,
    );
    writers.say("\n");
    await writers.output();
    await readers.output();
    const got = await client.sh(`for i in {0..${last}}; do cat out$i; done`, { cwd: here });
    expect(got).toBe(texts);
  });

  test.each([64, 65])(
    "%d FIFOs in one epoll: empty at first, then all ready at once",
    async (n) => {
      const [here] = await makeFifos(n);
      const readers = client.spawn([peer, "fifos", here, `${n}`]);
      await readers.prints("ready");
      await server.sh(`for i in {0..${n - 1}}; do echo this is f$i >f$i; done`, { cwd: here });
      expect(await readers.output()).toBe(`ready\n${n} of ${n}\n`);
    },
  );

  test("a writer waits by epoll for a reader that is slow, and nothing is lost", async () => {
    const [here] = await makeFifos(1);
    const writer = server.spawn([peer, "pour", `${here}/f0`, `${20 << 20}`]);
    const slow = "exec <f0; head -c 1000; sleep 0.3; head -c 1000; sleep 0.3; cat";
    const got = await client.sh(`(${slow}) | sha1sum`, { cwd: here });
    expect(got.split(" ")[0]).toBe((await writer.output()).trim());
  });

  test("select(2) finds what was written, and the end", async () => {
    const [here] = await makeFifos(1);
    const script = "exec 3<f0; read -t 30 -u 3 one; read -t 30 -u 3 two; echo $one $two $?";
    const reader = client.spawn(["bash", "-c", script], { cwd: here });
    const writer = server.spawn(["bash", "-c", "exec 3>f0; read; echo one >&3; read"], {
      cwd: here,
    });
    writer.say("\n");
    writer.say("\n");
    expect(await reader.output()).toBe("one 1\n");
    await writer.output();
  });

  test("a socket is reached by every way to its name, and leaves nothing beside it", async () => {
    const here = directory();
    // Longer than the 108 bytes that an address has room for.
    const deep = `${here}/${"x".repeat(100)}`;
    await server.sh(`mkdir ${deep}; cp ${peer} ${deep}`);
    const echo = server.spawn([peer, "echo", "unix", "./socket"], { cwd: deep });
    await echo.prints("ready");
    await client.sh(`cd ${deep}; ln -s socket link; ln socket hard`);
    // The listener's name, as it was bound, is no path for others; the text comes back.
    const say = async (command: string[], name: string) => {
      const saying = client.spawn([...command, peer, "say", "unix", name, "here"], { cwd: deep });
      expect([command, name, await saying.output()]).toEqual([
        command,
        name,
        expect.stringMatching(/^to .*\nhere\n$/),
      ]);
    };
    for (const name of ["socket", "./link", "hard"]) await say([], name);
    await say(["unshare", "--mount"], "./socket");
    await say(["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork"], "./socket");
    const inChroot = await client.sh(`chroot ${deep} /peer say unix /socket here`);
    expect(inChroot).toEndWith("\nhere\n");
    const bound = `touch /run/bound; mount --bind socket /run/bound; ${peer} say unix /run/bound x`;
    expect(await client.sh(`${bound}; umount /run/bound`, { cwd: deep })).toEndWith("\nx\n");
    await client.sh("rm link hard; mv socket renamed", { cwd: deep });
    await say([], "renamed");
    expect(await server.sh("ls -F", { cwd: deep })).toBe("peer*\nrenamed=\n");
  });

  test("20 connects at once, and the whole of what each sends", async () => {
    const path = `${directory()}/socket`;
    const echo = server.spawn([peer, "echo", "unix", path]);
    await echo.prints("ready");
    const texts = Array.from({ length: 20 }, (_, i) => `${i} ${"y".repeat(50_000)} ${i}`);
    const all = texts.map((text) => client.spawn([peer, "say", "unix", path, text]).output());
    expect(await Promise.all(all)).toEqual(texts.map((text) => `to ${path}\n${text}\n`));
  });
});
