import { expect, test } from "bun:test";
import { examineMachine, type Machine, thisMachine } from "../../../src/info/doctor/machine.ts";

const FILES: Readonly<Record<string, string>> = {
  "/proc/self/limits":
    "Max open files            1024                 524288               files\n",
  "/proc/sys/fs/pipe-max-size": "1048576\n",
  "/proc/sys/fs/inotify/max_user_watches": "524288\n",
  "/proc/sys/kernel/seccomp/actions_avail": "kill_process user_notif allow\n",
};

function machine(own: Partial<Machine> = {}): Machine {
  return {
    uid: 0,
    kernel: "6.1.0-42-cloud-amd64",
    file: (path) => FILES[path],
    open: () => {},
    loadLibfuse: () => {},
    loadLibssl: () => {},
    ...own,
  };
}

/** What is not in order there. */
function wrong(own: Partial<Machine>) {
  return examineMachine(machine(own)).filter(({ level }) => level !== "ok");
}

test("a machine that has all", () => {
  expect(wrong({})).toEqual([]);
  expect(examineMachine(machine()).map(({ says }) => says)).toContain("up to 524288");
});

test("an old kernel cannot mount", () => {
  expect(wrong({ kernel: "5.14.21" })[0]).toMatchObject({ level: "failure", subject: "kernel" });
  expect(wrong({ kernel: "5.15.0-rc1" })).toEqual([]);
  expect(wrong({ kernel: "4.19.90" })).toHaveLength(1);
});

test("no FUSE: the module is to be loaded, or root is to look", () => {
  const refuse = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };
  expect(wrong({ open: refuse("ENOENT") })[0]).toMatchObject({
    level: "failure",
    subject: "/dev/fuse",
    advice: "modprobe fuse",
  });
  expect(wrong({ open: refuse("EACCES") })[0]?.advice).toBe("Run it as root.");
});

test("without libfuse nothing can be mounted, without libssl only TLS is missing", () => {
  const missing = () => {
    throw new Error("Cannot load libx: install Debian's package x");
  };
  expect(wrong({ loadLibfuse: missing })[0]).toEqual({
    level: "failure",
    subject: "libfuse3",
    says: "Cannot load libx.",
    advice: "Install Debian's package x.",
  });
  expect(wrong({ loadLibssl: missing })[0]?.level).toBe("warning");
});

test("limits that are too small", () => {
  const file = (changed: Readonly<Record<string, string>>) => ({
    file: (path: string) => changed[path] ?? FILES[path],
  });
  const limits = "Max open files            1024                 4096               files\n";
  expect(wrong(file({ "/proc/self/limits": limits }))[0]?.says).toContain("may have 4096");
  expect(wrong(file({ "/proc/sys/fs/pipe-max-size": "65536\n" }))[0]?.advice).toBe(
    "sysctl -w fs.pipe-max-size=1048576",
  );
  expect(wrong(file({ "/proc/sys/fs/inotify/max_user_watches": "8192\n" }))).toHaveLength(1);
  expect(wrong(file({ "/proc/sys/kernel/seccomp/actions_avail": "allow\n" }))[0]?.subject).toBe(
    "seccomp",
  );
});

test("an ordinary user is told so", () => {
  expect(wrong({ uid: 1000 })[0]).toMatchObject({ level: "warning", advice: "Run it as root." });
});

test("this machine can be examined", () => {
  const subjects = examineMachine(thisMachine()).map(({ subject }) => subject);
  expect(new Set(subjects).size).toBe(9);
});
