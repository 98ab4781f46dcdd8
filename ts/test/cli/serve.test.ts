// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { eventually } from "../eventually.js";

const program = "build/src/cli/main.js";

function scratch(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-serve-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function started(t: ExecutionContext, child: ChildProcess): ChildProcess {
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

/** One ping; undefined while nobody answers. */
function ping(socket: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const connection = createConnection({ path: socket });
    connection.once("error", () => resolve(undefined));
    connection.once("data", (data) => {
      resolve(data.toString());
      connection.destroy();
    });
    connection.write('{"id":1,"method":"ping"}\n');
  });
}

async function answered(socket: string): Promise<string | undefined> {
  let reply: string | undefined;
  await eventually(async () => {
    reply = existsSync(socket) ? await ping(socket) : undefined;
    return reply !== undefined;
  });
  return reply;
}

test("the plain service answers, and SIGTERM ends it with status 0 and without its socket", async (t) => {
  const socket = join(scratch(t), "s");
  const child = started(
    t,
    spawn(process.execPath, [program, "serve", "--socket", socket], { stdio: "ignore" }),
  );
  t.regex((await answered(socket)) ?? "", /"protocol":1/);
  child.kill("SIGTERM");
  const [status] = await once(child, "exit");
  t.is(status, 0);
  t.false(existsSync(socket));
});

test("the socket of a killed service is taken over", async (t) => {
  const socket = join(scratch(t), "s");
  const first = started(
    t,
    spawn(process.execPath, [program, "serve", "--socket", socket], { stdio: "ignore" }),
  );
  await answered(socket);
  first.kill("SIGKILL");
  await once(first, "exit");
  t.true(existsSync(socket));
  started(t, spawn(process.execPath, [program, "serve", "--socket", socket], { stdio: "ignore" }));
  t.regex((await answered(socket)) ?? "", /"protocol":1/);
});

test("a socket passed by the service manager is served and outlives the service", async (t) => {
  const socket = join(scratch(t), "s");
  // Listens as systemd does: on descriptor 3, named by the environment, then becomes the service.
  const manager = `
    use v5.36; use IO::Socket::UNIX; use POSIX ();
    my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => shift, Listen => 5) or die;
    POSIX::dup2(fileno($s), 3) if fileno($s) != 3;
    $^F = 3; require Fcntl; open(my $three, '<&=', 3); fcntl($three, Fcntl::F_SETFD(), 0);
    @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
    exec(@ARGV);`;
  const child = started(
    t,
    spawn("/usr/bin/perl", ["-e", manager, socket, process.execPath, program, "serve"], {
      stdio: ["ignore", "ignore", "inherit"],
    }),
  );
  t.regex((await answered(socket)) ?? "", /"protocol":1/);
  child.kill("SIGTERM");
  const [status] = await once(child, "exit");
  t.is(status, 0);
  t.true(existsSync(socket), "the manager owns the socket");
});

/** The lines that a service says to a manager that wants a beat each 400 ms, as they come. */
function told(t: ExecutionContext, dir: string): { child: ChildProcess; lines: string[] } {
  // The manager is the parent of the service, as systemd is.
  const manager = `
    use v5.36; use IO::Socket::UNIX; $| = 1;
    my ($notify, @service) = @ARGV;
    my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $notify) or die;
    my $pid = fork() // die;
    if (!$pid) {
        @ENV{qw(NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID)} = ($notify, 400_000, $$);
        open(STDOUT, '>', '/dev/null') or die;
        exec(@service) or die;
    }
    say "PID=$pid";
    print $_ while defined($s->recv($_, 4096));`;
  const args = [
    "-e",
    manager,
    join(dir, "notify"),
    process.execPath,
    program,
    "serve",
    "--socket",
    join(dir, "s"),
  ];
  const child = started(t, spawn("/usr/bin/perl", args, { stdio: ["ignore", "pipe", "ignore"] }));
  const lines: string[] = [];
  child.stdout?.on("data", (text: Buffer) => lines.push(...text.toString().trimEnd().split("\n")));
  return { child, lines };
}

function said(lines: readonly string[], line: string, times = 1): Promise<boolean> {
  return eventually(() => lines.filter((one) => one === line).length >= times);
}

test("the service manager hears that the service is ready, lives and stops", async (t) => {
  const dir = scratch(t);
  const { lines } = told(t, dir);
  t.true(await said(lines, "READY=1"), lines.join(" "));
  t.truthy(await ping(join(dir, "s")), "ready means that it answers");
  t.true(await said(lines, "WATCHDOG=1", 3), lines.join(" "));
  const pid = Number(lines[0]?.replace("PID=", ""));
  t.teardown(() => {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // ended as it should
    }
  });

  process.kill(pid, "SIGSTOP");
  // What it said before can still be on its way.
  let before = -1;
  const quiet = async () => {
    before = lines.length;
    await sleep(800);
    return lines.length === before;
  };
  t.true(await eventually(quiet), "a service that hangs says nothing");
  process.kill(pid, "SIGCONT");
  process.kill(pid, "SIGTERM");
  t.true(await said(lines, "STOPPING=1"), lines.join(" "));
});

test("help and errors go where they belong", (t) => {
  const run = (...args: string[]) => spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
  const help = run("--help");
  t.is(help.status, 0);
  for (const command of ["serve", "export", "import", "call", "list", "status"]) {
    t.true(help.stdout.includes(`  ${command}`), command);
    const own = run(command, "--help");
    t.is(own.status, 0, command);
    t.true(own.stdout.startsWith(`Usage: pve-blockio ${command}`), command);
    for (const line of own.stdout.split("\n")) t.true(line.length <= 79, `${command}: ${line}`);
  }
  for (const line of help.stdout.split("\n")) t.true(line.length <= 79, line);
  const none = run();
  t.is(none.status, 2);
  t.is(none.stdout, "");
  const wrong = run("export", "--frobnicate");
  t.is(wrong.status, 2);
  t.regex(wrong.stderr, /^pve-blockio: .*--frobnicate.* see pve-blockio export --help \(invalid\)\n$/);
});
