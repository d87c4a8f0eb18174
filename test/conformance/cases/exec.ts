/** Running programs from the tree. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { get, owned, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

function script(path: string, body: string, mode = 0o755): void {
  put(path, `#!/bin/sh\n${body}\n`);
  p.chmod(path, mode);
}

function copyProgram(from: string, to: string): void {
  put(to, get(from));
  p.chmod(to, 0o755);
}

export const cases = area("exec", {
  script: () => {
    script("s", "exit 42");
    equal(p.execute("./s"), 42, "exit code");
  },
  "script-with-arguments": () => {
    script("s", 'echo "$0 $1 $2"');
    p.execute("./s", ["a", "b c"], "out");
    equal(text("out"), "./s a b c\n", "output");
  },
  binary: () => {
    copyProgram("/bin/echo", "echo");
    equal(p.execute("./echo", ["hello"], "out"), 0, "exit code");
    equal(text("out"), "hello\n", "output");
  },
  "binary-by-symlink-and-hard-link": () => {
    copyProgram("/bin/echo", "echo");
    p.symlink("echo", "link");
    p.link("echo", "hard");
    equal([p.execute("./link"), p.execute("./hard")], [0, 0], "exit codes");
  },
  "interpreter-in-the-tree": (context) => {
    copyProgram("/bin/cat", "cat");
    put("s", `#!${context.directory}/cat\nline\n`);
    p.chmod("s", 0o755);
    p.execute("./s", [], "out");
    equal(text("out"), text("s"), "output");
  },
  "changed-script-runs-anew": () => {
    for (const code of [1, 2, 3]) {
      script("s", `exit ${code}`);
      equal(p.execute("./s"), code, "exit code");
    }
  },
  "replaced-while-running-by-rename": () => {
    script("s", "mv new s; exit 1");
    script("new", "exit 2");
    equal([p.execute("./s"), p.execute("./s")], [1, 2], "exit codes");
  },
  "not-executable": () => {
    script("s", "exit 0", 0o644);
    refuses("EACCES", () => p.execute("./s"));
  },
  "not-executable-for-the-user": async (context) => {
    p.chmod(".", 0o777);
    script("s", "exit 7", 0o744);
    const user = await context.user(1001);
    await rejects("EACCES", user.execute("./s"));
    p.chmod("s", 0o755);
    equal(await user.execute("./s"), 7, "exit code");
  },
  "binary-executable-but-not-readable": async (context) => {
    copyProgram("/bin/true", "true");
    p.chmod("true", 0o711);
    const user = await context.user(1001);
    equal(await user.execute("./true"), 0, "exit code");
  },
  directory: () => {
    p.mkdir("d");
    refuses("EACCES", () => p.execute("./d"));
  },
  missing: () => {
    refuses("ENOENT", () => p.execute("./s"));
  },
  "missing-interpreter": () => {
    put("s", "#!/nowhere/sh\n");
    p.chmod("s", 0o755);
    refuses("ENOENT", () => p.execute("./s"));
  },
  "unknown-format": () => {
    owned("f", 0, 0, 0o755, "neither a script nor a binary");
    refuses("ENOEXEC", () => p.execute("./f"));
  },
  "fifo-is-no-program": () => {
    p.mknod("fifo", p.S_IFIFO | 0o755);
    refuses("EACCES", () => p.execute("./fifo"));
  },
  "open-for-writing": () => {
    copyProgram("/bin/true", "true");
    const fd = p.open("true", p.O_RDWR);
    refuses("ETXTBSY", () => p.execute("./true"));
    p.close(fd);
    equal(p.execute("./true"), 0, "exit code");
  },
  "running-is-not-opened-for-writing": async (context) => {
    copyProgram("/bin/cat", "cat");
    const [out, into] = p.pipe();
    const peer = await context.peer();
    const running = peer.execute("./cat", [`/proc/${p.getpid()}/fd/${out}`], "out");
    p.write(into, "x");
    // Its first output shows that it runs.
    for (let size = 0; size === 0; ) {
      await Bun.sleep(2);
      size = p.list(".").includes("out") ? p.stat("out").size : 0;
    }
    refuses("ETXTBSY", () => p.open("cat", p.O_WRONLY));
    refuses("ETXTBSY", () => p.truncate("cat", 0));
    p.close(into);
    equal(await running, 0, "exit code");
    p.close(p.open("cat", p.O_WRONLY));
  },
  "unlinked-while-running": async (context) => {
    copyProgram("/bin/cat", "cat");
    const [out, into] = p.pipe();
    const peer = await context.peer();
    const running = peer.execute("./cat", [`/proc/${p.getpid()}/fd/${out}`], "out");
    p.write(into, "x");
    for (let size = 0; size === 0; ) {
      await Bun.sleep(2);
      size = p.list(".").includes("out") ? p.stat("out").size : 0;
    }
    p.unlink("cat");
    p.write(into, "y");
    p.close(into);
    equal(await running, 0, "exit code");
    equal(text("out"), "xy", "output");
  },
});
