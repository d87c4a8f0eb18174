/** Unix sockets that are bound in the tree. */
import type { Actor } from "../harness/actor-client.ts";
import { area, type Run } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { absent, modeOf, pattern, put, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

/** A listening socket of an actor. */
async function listener(server: Actor, path = "s", type = p.SOCK_STREAM): Promise<number> {
  const fd = await server.socket(type);
  await server.bind(fd, path);
  await server.listen(fd);
  return fd;
}

/** One question and its answer between the case and the actor. */
async function talks(server: Actor, listening: number, path = "s", type = p.SOCK_STREAM) {
  const fd = p.socket(type);
  p.connect(fd, path);
  const accepted = await server.accept(listening);
  p.write(fd, "question");
  holds(await server.read(accepted, 100), "question", "what the server reads");
  await server.write(accepted, "answer");
  holds(p.read(fd, 100), "answer", "what the client reads");
}

function ofType(type: number): Run {
  return async (context) => {
    const server = await context.peer();
    await talks(server, await listener(server, "s", type), "s", type);
  };
}

export const cases = area("socket", {
  "bind-makes-a-socket": () => {
    p.umask(0o027);
    p.bind(p.socket(), "s");
    equal([typeOf("s"), modeOf("s"), p.stat("s").size], [p.S_IFSOCK, 0o750, 0], "type and mode");
  },
  "stream-talks": ofType(p.SOCK_STREAM),
  "seqpacket-talks": ofType(p.SOCK_SEQPACKET),
  "the-case-is-the-server": async (context) => {
    const fd = p.socket();
    p.bind(fd, "s");
    p.listen(fd);
    const client = await context.peer();
    const other = await client.socket();
    await client.connect(other, "s");
    const accepted = p.accept(fd);
    await client.write(other, "hello");
    holds(p.read(accepted, 10), "hello", "content");
  },
  "datagrams-arrive": async (context) => {
    const server = await context.peer();
    const bound = await server.socket(p.SOCK_DGRAM);
    await server.bind(bound, "s");
    const fd = p.socket(p.SOCK_DGRAM);
    p.connect(fd, "s");
    p.write(fd, "one");
    p.write(fd, "two");
    holds(await server.read(bound, 100), "one", "first datagram");
    holds(await server.read(bound, 100), "two", "second datagram");
  },
  "several-clients": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    const clients = Array.from({ length: 6 }, () => p.socket());
    for (const fd of clients) p.connect(fd, "s");
    clients.forEach((fd, index) => {
      p.write(fd, `client ${index}`);
    });
    const seen: string[] = [];
    for (let index = 0; index < clients.length; index++) {
      seen.push(String(await server.read(await server.accept(listening), 100)));
    }
    equal(
      seen.sort(),
      clients.map((_, index) => `client ${index}`),
      "what the server reads",
    );
  },
  "end-when-the-server-closes": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    const fd = p.socket();
    p.connect(fd, "s");
    const accepted = await server.accept(listening);
    await server.write(accepted, "bye");
    await server.close(accepted);
    holds(p.read(fd, 10), "bye", "content");
    holds(p.read(fd, 10), "", "content at the end");
  },
  "1-mib-in-order": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    const fd = p.socket();
    p.connect(fd, "s");
    const writing = server.writePattern(await server.accept(listening), 1 << 20);
    const parts: Buffer[] = [];
    for (let size = 0; size < 1 << 20; ) {
      const part = p.read(fd, 65_536);
      size += part.length;
      parts.push(part);
    }
    equal(await writing, 1 << 20, "bytes written");
    const all: Buffer = Buffer.concat(parts);
    equal(all, pattern(1 << 20), "content");
  },
  "connect-by-other-names": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    p.symlink("s", "soft");
    p.link("s", "hard");
    await talks(server, listening, "soft");
    await talks(server, listening, "hard");
    p.rename("s", "moved");
    await talks(server, listening, "moved");
  },
  "connect-by-absolute-path": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    await talks(server, listening, `${context.directory}/s`);
  },
  "connect-by-descriptor-link": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    const fd = p.open("s", p.O_PATH);
    await talks(server, listening, `/proc/self/fd/${fd}`);
  },
  "connection-outlives-unlink": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    const fd = p.socket();
    p.connect(fd, "s");
    const accepted = await server.accept(listening);
    p.unlink("s");
    absent("s");
    await server.write(accepted, "still");
    holds(p.read(fd, 10), "still", "content");
    const second = p.socket();
    refuses("ENOENT", () => p.connect(second, "s"));
  },
  "nobody-listens": async (context) => {
    const server = await context.peer();
    await listener(server);
    await server.actor.kill();
    const fd = p.socket();
    refuses("ECONNREFUSED", () => p.connect(fd, "s"));
  },
  "bound-but-not-listening": () => {
    p.bind(p.socket(), "s");
    const fd = p.socket();
    refuses("ECONNREFUSED", () => p.connect(fd, "s"));
  },
  "bound-anew-after-unlink": async (context) => {
    const first = await context.peer();
    await listener(first);
    p.unlink("s");
    const second = await context.peer();
    await talks(second, await listener(second));
  },
  "bind-existing": () => {
    put("f");
    p.bind(p.socket(), "s");
    const fd = p.socket();
    refuses("EADDRINUSE", () => p.bind(fd, "s"));
    refuses("EADDRINUSE", () => p.bind(fd, "f"));
  },
  "connect-to-no-socket": () => {
    put("f");
    const fd = p.socket();
    refuses("ECONNREFUSED", () => p.connect(fd, "f"));
    refuses("ENOENT", () => p.connect(fd, "missing"));
  },
  "wrong-type": async (context) => {
    const server = await context.peer();
    await listener(server);
    const fd = p.socket(p.SOCK_DGRAM);
    refuses("EPROTOTYPE", () => p.connect(fd, "s"));
  },
  "connect-needs-write-permission": async (context) => {
    const server = await context.peer();
    const listening = await listener(server);
    p.chmod("s", 0o755);
    const user = await context.user(1001);
    const fd = await user.socket();
    await rejects("EACCES", user.connect(fd, "s"));
    p.chmod("s", 0o777);
    await user.connect(fd, "s");
    await server.accept(listening);
  },
  "bind-needs-write-permission": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.bind(await user.socket(), "s"));
  },
});
