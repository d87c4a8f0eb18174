/** A supervisor that is killed: its programs go on, and no call is lost or made twice. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Stage } from "./stage.ts";

const TMPFS = "1021994";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

/**
 * Process of the one supervisor, once there is one. In bash alone: what other programs do
 * waits for it, too.
 */
const SUPERVISOR = `
supervisor() {
  local socket pid
  while :; do
    for socket in /run/qtfs/control/supervisor-*.sock; do
      pid=\${socket##*-} pid=\${pid%.sock}
      kill -0 "$pid" && echo "$pid" && return
    done
  done 2>/dev/null
}
# Until its number is nobody's.
end() {
  kill -KILL "$1"
  while kill -0 "$1"; do :; done 2>/dev/null
}
`;

test("killed while nothing is asked", async () => {
  const at = stage.directory("a");
  const printed = await stage.lines(`${SUPERVISOR}
    first=$(supervisor)
    end "$first"
    ${stage.program} mount none ${at}/a tmpfs 0 -
    ${stage.program} statfs ${at}/a
    second=$(supervisor)
    end "$second"
    ${stage.program} umount ${at}/a 0
    [ "$first" != "$second" ] && echo another`);
  expect(printed).toEqual(["0", TMPFS, "0", "another"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("its keeper killed, then itself", async () => {
  const at = stage.directory("a");
  const printed = await stage.lines(`${SUPERVISOR}
    pid=$(supervisor)
    children() { cat /proc/$pid/task/$pid/children; }
    keeper=$(children)
    kill -KILL $keeper
    until [ -n "$(children)" ] && [ "$(children)" != "$keeper" ]; do sleep 0.02; done
    end "$pid"
    ${stage.program} mount none ${at}/a tmpfs 0 -
    ${stage.program} umount ${at}/a 0`);
  expect(printed).toEqual(["0", "0"]);
});

test("killed amid calls: each is made once", async () => {
  const rounds = 10;
  const at = stage.directory("a");
  // Each mount covers the one before; were one made twice, it would be left at the end.
  const printed = await stage.lines(`${SUPERVISOR}
    killed() {
      local pid call
      pid=$(supervisor)
      "$@" & call=$!
      sleep 0.0$((RANDOM % 30 + 10))
      end "$pid"
      wait $call
    }
    for i in $(seq ${rounds}); do
      killed ${stage.program} mount none ${at}/a tmpfs 0 -
      killed ${stage.program} statfs ${at}/a
      killed ${stage.program} umount ${at}/a 0
    done >/run/said
    sort /run/said | uniq -c | sed 's/^ *//'
    ${stage.program} umount ${at}/a 0`);
  expect(printed).toEqual([`${2 * rounds} 0`, `${rounds} ${TMPFS}`, "EINVAL"]);
  expect(await stage.onHost(at)).toEqual({});
});

test("a caller that is killed in its call", async () => {
  const at = stage.directory("a");
  const script = `
    echo ready; read -r word
    ${stage.program} mount none ${at}/a tmpfs 0 - & echo $!
    wait $! || echo $?
    ${stage.program} statfs ${at}/a >/dev/null && echo goes on`;
  const program = stage.dpu.spawn(stage.under(["bash", "-c", script]));
  await program.prints("ready");
  // Who is supervised cannot do what follows: kill(2) waits for the supervisor, too.
  const pid = (await stage.dpu.sh(`${SUPERVISOR} supervisor`)).trim();
  await stage.dpu.sh(`
    kill -STOP ${pid}
    until [[ "$(</proc/${pid}/stat)" == *") T "* ]]; do sleep 0.02; done`);
  program.say("go\n");
  await program.prints(/^\d+\n/m);
  const [, caller] = program.stdout.split("\n");
  await stage.dpu.sh(`
    until [[ "$(</proc/${caller}/syscall)" =~ ^(165|40)\\  ]]; do sleep 0.02; done
    kill -KILL ${caller}
    kill -CONT ${pid}`);
  const printed = (await program.output()).split("\n");
  expect(printed).toEqual(["ready", caller as string, "137", "goes on", ""]);
});
