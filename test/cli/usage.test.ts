/** The command line as a child process: what is printed where, and the exit code. */
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { qtfs } from "./support.ts";

describe("exit code 0, on stdout", () => {
  test.each([
    [["version"], `qtfs ${packageJson.version}, protocol 1\n`],
    [["--version"], `qtfs ${packageJson.version}, protocol 1\n`],
    [["--help"], "COMMANDS"],
    [["help"], "COMMANDS"],
    [["help", "mount"], "qtfs mount [OPTIONS] SRC TARGET"],
    [["server", "--help"], "qtfs server [OPTIONS]"],
    [["mount", "-h"], "set-user-id bits"],
    [["info", "--help"], "[TARGET|ADDR|PID|doctor]"],
  ])("qtfs %p", async (words, text) => {
    const { code, stdout, stderr } = await qtfs(words);
    expect(stdout).toContain(text);
    expect([code, stderr]).toEqual([0, ""]);
  });
});

describe("exit code 2, one line on stderr", () => {
  test.each([
    [["serve"], "qtfs: unknown command serve, did you mean server?"],
    [["help", "muont"], "qtfs: unknown command muont, did you mean mount?"],
    [["--verson"], "qtfs: unknown option --verson, did you mean --version?"],
    [["constructor"], "qtfs: unknown command constructor"],
    [["version", "now"], 'qtfs version: unexpected argument "now"'],
    [["server"], "qtfs server: nothing to export, give --export PATH"],
    [["server", "--exprot", "/srv"], "unknown option --exprot, did you mean --export?"],
    [["server", "--export", "/a", "--export", "/a/:ro"], "/a is exported twice"],
    [
      ["server", "--export", "/a:rw,sysmont"],
      '--export /a:rw,sysmont: nothing is called "sysmont", did you mean sysmount?',
    ],
    [["server", "--export", ":ro"], '":ro" names no directory to export'],
    [["server", "--export", "/a", "--allow-uid", "me"], '"me" is no user id'],
    [
      ["server", "--export", "/a", "--listen", "x"],
      'Address "x" must begin with unix://, tcp://, vsock:// or pcie://',
    ],
    [["mount", "/srv"], "qtfs mount: TARGET is missing"],
    [["mount", "-t", "tmpfs", "/srv", "/mnt"], "--type is for --on-server"],
    [["mount", "--on-server", "/srv", "/mnt"], "say what to mount: -t TYPE, or -o bind"],
    [["mount", "srv", "/mnt"], "SRC must be an absolute path, not srv"],
    [
      ["mount", "-o", "sever=x", "/srv", "/mnt"],
      "unknown mount option sever, did you mean server?",
    ],
    [
      ["mount", "/srv", "/mnt", "-o", "cahce=auto"],
      "unknown mount option cahce, did you mean cache?",
    ],
    [["mount", "-f", "--log-file", "x", "/srv", "/"], "-f logs to stderr, not to a file"],
    [["info", "--json", "--log"], "--json and --log exclude each other"],
    [["info", "--watch", "--metrics"], "--watch and --metrics exclude each other"],
    [["info", "doctor", "--log"], "doctor takes no --log"],
    [["info", "tcp://x"], 'Address "tcp://x" is not of the form tcp://host:port'],
  ])("qtfs %p", async (words, sentence) => {
    const { code, stdout, stderr } = await qtfs(words);
    expect(stderr).toContain(sentence);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("without a command the overview goes to stderr", async () => {
    const { code, stdout, stderr } = await qtfs([]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("COMMANDS");
  });
});

describe("exit code 1, one line on stderr", () => {
  test.each([
    [["server", "--export", "/no/such"], "qtfs server: Cannot export /no/such"],
    [["server", "--config", "/no/such"], "qtfs server: Cannot read the configuration"],
    [["server", "--export", "/tmp", "--listen", "tcp://127.0.0.1:1"], "add --insecure"],
    [
      ["info", "999999999"],
      "qtfs info: Process 999999999 is no qtfs server, mount, rexec-server or supervisor",
    ],
    [["info", "/proc"], "qtfs info: /proc is not on a qtfs mount"],
    [["info", "/x\x1b[2J\ny"], "qtfs info: /x\\x1b[2J⏎y is not on a qtfs mount"],
    [["mount", "/srv", "/no/such"], "Cannot mount at /no/such: it does not exist"],
    [["mount", "/srv", "/etc/passwd"], "Cannot mount at /etc/passwd: it is not a directory"],
    [["mount", "--log-file", "/no/such", "/srv", "/tmp"], "Cannot log to /no/such"],
  ])("qtfs %p", async (words, sentence) => {
    const { code, stdout, stderr } = await qtfs(words);
    expect(stderr).toContain(sentence);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect([code, stdout]).toEqual([1, ""]);
  });
});

describe("as mount(8)'s helper", () => {
  test.each(["mount.qtfs", "/sbin/mount.qtfs", "mount.fuse.qtfs"])("called %p", async (argv0) => {
    const { code, stderr } = await qtfs(["/srv"], { argv0 });
    expect(stderr).toStartWith("mount.qtfs: TARGET is missing");
    expect(code).toBe(1);
  });

  test("takes the words as mount(8) gives them", async () => {
    const given = "rw,nosuid,noexec,nodev,cache=auto,user,_netdev,nofail,x-systemd.automount";
    const words = ["/srv", "/tmp", "-s", "-f", "-n", "-v", "-o", given, "-t", "fuse.qtfs"];
    const { code, stdout, stderr } = await qtfs(words, { argv0: "mount.qtfs" });
    expect(stderr).toBe("");
    expect([code, stdout]).toEqual([0, "mount.qtfs: /srv is mounted at /tmp\n"]);
  });

  test("passes over unknown options with -s only", async () => {
    const helper = { argv0: "mount.qtfs" };
    const words = ["/srv", "/tmp", "-f", "-o", "ro,foo=bar"];
    expect((await qtfs(words, helper)).stderr).toContain("unknown mount option foo");
    expect((await qtfs([...words, "-s"], helper)).code).toBe(0);
  });

  test("a mount that fails is 32, as mount(8) says it", async () => {
    const { code } = await qtfs(["/srv", "/no/such"], { argv0: "mount.qtfs" });
    expect(code).toBe(32);
  });
});
