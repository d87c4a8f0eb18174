/**
 * A program through rexec and the same program directly: the same bytes, codes and signals.
 * Each case is a script for bash, in which $RUN stands before what is to run over there.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { run, Stage } from "./stage.ts";

let stage: Stage;
/** Gives back what it gets. */
let echo: Bun.TCPSocketListener;

beforeAll(async () => {
  stage = await Stage.begin();
  const socket = { data: (peer: Bun.Socket, bytes: Buffer) => void peer.write(bytes) };
  echo = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
});
afterAll(async () => {
  console.log(
    stage.log
      .split("\n")
      .filter((l) => !/ info /.test(l))
      .join("\n")
      .slice(-3000),
  );
  echo.stop(true);
  await stage.end();
});

const ARGUMENTS: Record<string, string> = {
  none: "$P arguments",
  one: "$P arguments one",
  empty: "$P arguments ''",
  "several empty": "$P arguments '' '' x ''",
  spaces: "$P arguments ' a  b ' $'\\t' $'\\n'",
  quotes: `$P arguments '"' "'" '\\' '$HOME' '\`id\`' '*' '?'`,
  "invalid UTF-8": "$P arguments $'\\xff\\xfe' $'a\\x80b' $'\\xc3'",
  UTF8: "$P arguments äöü 漢字 🙂",
  "all bytes": '$P arguments "$(for i in $(seq 1 255); do printf "\\\\x$(printf %x $i)"; done)"',
  "options of ours": "$P arguments --help --server x -t -- --env A=B --cwd / -h --version -V",
  "options of the runtime": "$P arguments --inspect --eval 1 -e 1 -p --bun --smol --config=x",
  dashes: "$P arguments - -- --- -",
  many: "$P arguments $(seq 1 5000) | md5sum",
  "128 KiB in one": "$P arguments \"$(head -c 131000 /dev/zero | tr '\\0' x)\" | md5sum",
  "1 MiB in all":
    "a=$(head -c 100000 /dev/zero | tr '\\0' y); $P arguments $a $a $a $a $a $a $a $a $a $a $a | md5sum",
  "too long":
    "ulimit -s 1024; a=$(head -c 100000 /dev/zero | tr '\\0' y); $RUN /bin/true $a >/dev/null; $P arguments ok",
};

const SURROUNDINGS: Record<string, string> = {
  environment: "env -i A=1 B= C='x y' PATH=/bin $P environment",
  "empty environment": "env -i $P environment",
  "odd variables": "env -i $'X=\\xff\\n' 'Y==' '=Z' $P environment",
  "large environment":
    "X=$(head -c 120000 /dev/zero | tr '\\0' z) $P environment | grep -az ^X= | md5sum",
  "same variable": "env -i PATH=/bin:/usr/bin A=b $P environment",
  "directory /": "cd / && $P directory",
  "directory of ours": "cd $D && $P directory",
  "directory with blanks": 'mkdir -p "$D/a b" && cd "$D/a b" && $P directory',
  "directory in another encoding": "mkdir -p $D/$'\\xe4' && cd $D/$'\\xe4' && $P directory",
  "directory by a link": "ln -sfn / $D/link && cd $D/link && $P directory",
  "relative program": "cd $D && $RUN ./probe umask",
  "relative PATH": "cd $D && PATH=.:$PATH $RUN probe umask",
  "umask 022": "umask 022; $P umask",
  "umask 077": "umask 077; $P umask",
  "umask 000": "umask 000; $P umask",
  "a file's mode": "cd $D; umask 027; rm -f made; $RUN touch made; stat -c %a made",
  identity: "$P identity",
  group: "setpriv --regid 1234 --clear-groups $P identity",
  groups: "setpriv --regid 5 --groups 7,8,9,4000000 $P identity",
  "no groups": "setpriv --clear-groups $P identity",
  "many groups": "setpriv --groups $(seq -s, 100 160) $P identity",
  "limit of files": "ulimit -Sn 256; $P limits | grep ^7",
  "limit of cores": "ulimit -Sc 0; $P limits | grep ^4",
  "limit of sizes": "ulimit -Sf 1000; $P limits | grep ^1",
  "limit of stacks": "ulimit -Ss 4096; $P limits | grep ^3",
  "limit of locked memory": "ulimit -Sl 64; $P limits | grep ^8",
  "all limits": "$P limits",
  signals: "$P signals",
  "ignored HUP": "trap '' HUP; $P signals",
  "ignored INT and QUIT": "trap '' INT QUIT; $P signals",
  "ignored USR1": "trap '' USR1 TERM; $P signals",
  nohup: "nohup $P signals 2>/dev/null",
};

const ENDS: Record<string, string> = Object.fromEntries([
  ...[0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 129, 130, 137, 143, 254, 255].map((code) => [
    `exit ${code}`,
    `$P exit ${code}`,
  ]),
  ...[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 64,
  ].map((signal) => [`signal ${signal}`, `exec $P raise ${signal}`]),
]);

const FAILURES: Record<string, string> = {
  "no such program": "$RUN nosuchprogram",
  "no such path": "$RUN /no/such/program a",
  "no such path below a file": "$RUN /etc/passwd/x",
  "not executable": "$RUN /etc/passwd",
  "not executable in PATH":
    "mkdir -p $D/bin; echo x > $D/bin/plain; export PATH=$D/bin:$PATH RUN; bash -c '$RUN plain' 2>/dev/null; echo $?",
  "a directory": "$RUN /etc",
  "a loop": "ln -sfn loop $D/loop; $RUN $D/loop",
  "without an interpreter": "printf '#!/no/such/sh\\n' > $D/bad; chmod +x $D/bad; $RUN $D/bad",
  "a script": "printf '#!/bin/sh\\necho $0 $1; exit 3' > $D/s; chmod +x $D/s; $RUN $D/s arg",
  "a script without #!": "printf 'echo $1 $#; exit 4' > $D/t; chmod +x $D/t; $RUN $D/t arg 'b c'",
  "an empty file": "> $D/empty; chmod +x $D/empty; $RUN $D/empty",
  "argv[0] by a link": "ln -sfn probe $D/other; cd $D; $RUN ./other arguments",
  "empty PATH": "cd $D; PATH= $RUN probe umask",
};

const INPUT: Record<string, string> = {
  "a pipe": "echo hello | $RUN cat",
  "an empty pipe": ": | $RUN cat",
  "binary data": "head -c 300000 $D/random | $RUN md5sum",
  "a pipe that is not read": "head -c 16000000 /dev/zero | $RUN true; $CODES",
  "SIGPIPE for the writer": "yes | $RUN head -n 1; $CODES",
  "SIGPIPE over there": "$RUN yes | head -n 2; $CODES",
  "a pipe closed early": "(echo a; sleep 0.2; echo b) | $RUN sh -c 'read x; exec <&-; echo $x'",
  "in parts": "(printf a; sleep 0.1; printf b; sleep 0.1; printf c) | $RUN cat",
  "a file": "$RUN cat < $D/text",
  "a file from its offset": "exec 5< $D/text; read x <&5; $RUN cat <&5",
  "a file's offset afterwards": "(read a; $RUN sh -c 'read b; echo $b'; cat) < $D/text",
  "a file's offset after all of it": "($RUN cat; cat) < $D/text",
  "a file that is not read": "($RUN true; cat) < $D/text",
  "a large file": "$RUN md5sum < $D/random",
  "an empty file": "$RUN wc -c < $D/none",
  "/dev/null": "$RUN wc -c < /dev/null",
  "/dev/zero": "$RUN head -c 10 < /dev/zero | md5sum",
  "nothing at all": "$RUN sh -c 'cat; echo $?' <&- 2>/dev/null",
  "a FIFO": "mkfifo $D/fifo$$; (echo through > $D/fifo$$ &); $RUN cat < $D/fifo$$",
  "here document": "$RUN cat <<EOF\nline\n$HOME\nEOF",
  "both directions": "head -c 200000 $D/random | $RUN cat | md5sum",
  twice: "head -c 200000 $D/random | $RUN cat | $RUN cat | md5sum",
};

const OUTPUT: Record<string, string> = {
  "to a file": "rm -f $D/o1; $RUN echo text > $D/o1; cat $D/o1",
  "to the end of a file":
    "echo first > $D/o2; $RUN echo second >> $D/o2; echo third >> $D/o2; cat $D/o2",
  "to a file from its offset": "(echo first; $RUN echo second; echo third) > $D/o3; cat $D/o3",
  "both to one file": "$RUN sh -c 'echo a; echo b >&2; echo c' > $D/o4 2>&1; cat $D/o4",
  "both to one pipe": "$RUN sh -c 'for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done' 2>&1 | cat",
  "both apart": "$RUN sh -c 'echo out; echo err >&2'",
  swapped: "$RUN sh -c 'echo out; echo err >&2' 3>&1 1>&2 2>&3",
  "only errors": "$RUN sh -c 'echo out; echo err >&2' >/dev/null",
  "only output": "$RUN sh -c 'echo out; echo err >&2' 2>/dev/null",
  "no output": "$RUN sh -c 'echo x 2>/dev/null || echo failed >&2' >&-",
  "no errors": "$RUN sh -c 'echo y >&2' 2>&-; echo $?",
  "all closed": "$P descriptors > $D/o5 <&- 2>&-; cat $D/o5",
  "all there": "$P descriptors < /dev/null 2>/dev/null | sort",
  "output closed": "$P descriptors >&- ; echo $?",
  "binary output": "$RUN head -c 700000 $D/random | md5sum",
  "no newline": "$RUN printf abc",
  NULs: "$RUN printf 'a\\0b\\0'",
  "much of both": "$RUN sh -c 'seq 1 20000; seq 1 20000 >&2' 2>$D/o6 | md5sum; md5sum < $D/o6",
  "in a substitution": "x=$($RUN sh -c 'echo a; echo b'); echo \"[$x]\"",
  "after the program's end": "$RUN sh -c '(sleep 0.2; echo late) & echo early' | cat",
  "in an and-list": "$RUN true && echo yes; $RUN false || echo no",
  "in a loop": "for i in 1 2 3; do $RUN echo $i; done",
  "in a while": "seq 1 3 | while read i; do $RUN echo $i < /dev/null; done",
  "from xargs": "seq 1 4 | xargs -n 2 $RUN echo",
  "from find": "cd $D && find text -exec $RUN wc -c {} +",
  "in a subshell": "( $RUN echo a; exit 5 ); echo $?",
  "from a background job": "$RUN sh -c 'sleep 0.1; exit 9' & wait $!; echo $?",
  timed: "timeout 10 $RUN sh -c 'exit 11'",
};

const STOPS: Record<string, string> = {
  "by TSTP": "$D/probe job 20 $RUN sh -c 'echo r; exec sleep 60'",
  "by TTIN": "$D/probe job 21 $RUN sh -c 'echo r; exec sleep 60'",
  "by TTOU": "$D/probe job 22 $RUN sh -c 'echo r; exec sleep 60'",
  "by itself": "$D/probe job 0 $RUN sh -c 'echo r; kill -STOP $$; exec sleep 60'",
  "by another process":
    "$D/probe job 0 $RUN sh -c 'echo r; (sleep 0.1; kill -STOP $$) & wait; sleep 60'",
  "and ends as it wants":
    "$D/probe job 20 $RUN sh -c 'trap \"exit 7\" TERM; echo r; sleep 60 >/dev/null 2>&1 & wait'",
};

const DESCRIPTORS: Record<string, string> = {
  "a file that is read":
    "exec 5<$D/text; read x <&5; $RUN sh -c 'read y <&5; echo $y'; read z <&5; echo $x $z",
  "a file that is read and written":
    "rm -f $D/d1; exec 5<>$D/d1; echo abc >&5; $RUN sh -c 'echo def >&5'; echo ghi >&5; cat $D/d1",
  "a file that is written": "exec 5>$D/d2; $RUN sh -c 'echo a >&5'; echo b >&5; cat $D/d2",
  "a file that is appended to":
    "echo 1 >$D/d3; exec 9>>$D/d3; $RUN sh -c 'echo 2 >&9; echo 3 >&9'; echo 4 >&9; cat $D/d3",
  "a file by two numbers":
    "exec 5<$D/text 6<&5; $RUN sh -c 'read a <&5; read b <&6; echo $a $b'; read c <&6; echo $c",
  "a file twice":
    "exec 5<$D/text 6<$D/text; read x <&5; $RUN sh -c 'read a <&5; read b <&6; echo $a $b'",
  "a file that was removed": "cp $D/text $D/d4; exec 5<$D/d4; rm $D/d4; $RUN sh -c 'cat <&5'",
  "a large file": "$RUN sh -c 'md5sum <&5' 5<$D/random",
  "a file whose end is looked for": "$RUN sh -c 'tail -n 1 <&5; head -n 1 <&5' 5<$D/text",
  "a file as input, too": "$RUN sh -c 'read a; read b <&5; echo $a $b' <$D/text 5<$D/text",
  "a process substitution": "$RUN cat <(echo through)",
  "two of them": "$RUN diff <(seq 1 5; echo a) <(seq 1 5; echo b)",
  "a pipe that is written": "$RUN sh -c 'echo five >&5' 5>&1 >/dev/null | cat",
  "a pipe that was closed": "$RUN sh -c 'exec 5>&-; echo one; echo two >&5' 5>&1 2>/dev/null | cat",
  "an error stream of its own":
    "$RUN sh -c 'echo out; echo err >&2; echo log >&7' 7>$D/d5 2>&1 | cat; cat $D/d5",
  "pipes both ways":
    "rm -f $D/in $D/out; mkfifo $D/in $D/out; tr a-z A-Z <$D/in >$D/out & " +
    "$RUN sh -c 'echo word >&8; exec 8>&-; cat <&9' 8>$D/in 9<$D/out",
  "/dev/null and closed ones": "$P descriptors 4</dev/null 9</dev/null 5<&- | sort",
  "high numbers": "$RUN sh -c 'cat <&9; ls /proc/self/fd' 200<$D/text 9<$D/text 255<$D/text",
  "a unix socket that listens": "$D/probe listener unix $P accept",
  "a TCP socket that listens": "$D/probe listener inet $P accept",
  "one of IPv6": "$D/probe listener inet6 $P accept",
  "a stream socket": "$D/probe pair stream $P echo",
  "a socket of packets": "$D/probe pair seqpacket $P echo",
  "a socket of datagrams": "$D/probe pair dgram $P echo",
  "a TCP connection":
    "exec 5<>/dev/tcp/127.0.0.1/$TCP_PORT; $RUN sh -c 'echo ping >&5; head -n 1 <&5'",
};

/** The name by which a message begins is ours there. */
function unnamed(text: string): string {
  return text
    .replace(/^(rexec|[\w/.-]*(bash|sh)): (line )?(\d+: )?/gm, "")
    .replace(/line \d+: /g, "");
}

/** bash words some errors of its own: what is looked at is what both say. */
function comparable(text: string): string {
  return unnamed(text)
    .replace("command not found", "not found")
    .replace(
      /: (No such file or directory|cannot execute: required file not found)$/gm,
      ": not found",
    )
    .replace(/: Is a directory$/gm, ": Permission denied")
    .replace(
      /^.*(Terminated|Killed|Hangup|Segmentation|Aborted|Quit|Bus|Floating|Illegal|Trace).*\n/gm,
      "",
    );
}

async function runCase(shell: string, script: string, isRemote: boolean) {
  const prefix = isRemote ? stage.rexec.join(" ") : "";
  const settings =
    `RUN="${prefix}"; P="$RUN ${stage.probe}"; D=${stage.directory}/files\n` +
    `CODES='eval echo \${PIPESTATUS[@]}'\n`;
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: "/root",
    LC_ALL: "C",
    TCP_PORT: `${echo.port}`,
  };
  return await run([shell, "-c", settings + script], { env, cwd: stage.directory });
}

const GROUPS = { ARGUMENTS, SURROUNDINGS, ENDS, FAILURES, INPUT, OUTPUT, STOPS, DESCRIPTORS };

describe("as if it were here", () => {
  beforeAll(() => {
    const files = `${stage.directory}/files`;
    mkdirSync(files);
    writeFileSync(`${files}/text`, "one\ntwo\nthree\nfour\n");
    writeFileSync(`${files}/none`, "");
    const random = Uint8Array.from(
      { length: 1 << 20 },
      (_, i) => (i * 7919 + (i >> 9) * 31) & 0xff,
    );
    writeFileSync(`${files}/random`, random);
    Bun.spawnSync(["cp", stage.probe, files]);
  });

  for (const [group, cases] of Object.entries(GROUPS)) {
    for (const [name, script] of Object.entries(cases)) {
      // What cannot be started is told as sh tells it.
      const shell = group === "FAILURES" ? "sh" : "bash";
      test(`${group.toLowerCase()}: ${name}`, async () => {
        const direct = await runCase(shell, script, false);
        const remote = await runCase(shell, script, true);
        if (remote.stdout !== direct.stdout) console.log(remote);
        expect(remote.stdout).toBe(direct.stdout);
        expect(comparable(remote.stderr)).toBe(comparable(direct.stderr));
        expect([remote.code, remote.signal]).toEqual([direct.code, direct.signal]);
      });
    }
  }
});
