"""Measures Runtime Sync beside its competitors and prints one table; README.md beside this file explains each row."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import PEOPLE, SERVICE, Daemon, OpenLDAP, PostgreSQL, Redis, Server

# (connections, outstanding requests on each): the grid in which the raw client looks for its best.
GRID = [(1, 1), (1, 4), (1, 16), (2, 16), (4, 4), (4, 16), (8, 4), (8, 16)]
NDJSON = ("--batch", 100, "--connections", 4)
SINGLES = ("--connections", 64)
METHOD = "extended"  # what the plugin's `password_method: auto` takes with OpenLDAP


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = Path(folder)
        self.rows = []
        self.tags = 0

    # What is run

    def program(self, name, *arguments):
        run = subprocess.run(
            [Path(self.options.programs) / name, *map(str, arguments)], capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"{name}: {run.stderr}{run.stdout}")
        return json.loads(run.stdout)

    def tag(self):
        self.tags += 1
        return f"bench{self.tags}"

    def raw(self, directory, connections, window, operations):
        """Passwords a second that the raw client writes."""
        return self.program(
            "ldap_baseline", "write", directory.uri, SERVICE, directory.secret, PEOPLE, directory.users, operations,
            connections, window, METHOD, self.tag())["rate"]

    def check_by_binding(self, directory, tag):
        step = max(1, directory.users // 100)
        self.program("ldap_baseline", "bind", directory.uri, PEOPLE, directory.users, step, tag)

    sequence = 1

    def post(self, daemon, events, *more, tag=None):
        return self.program(
            "intake_load", "--port", daemon.port, "--secret", daemon.secret, "--events", events, "--tag",
            tag or self.tag(), "--first", self.next_sequence(events), *more)

    def next_sequence(self, events):
        self.sequence += events
        return self.sequence - events

    def deliver_all(self, daemon, directory, before, *how):
        """One password for every user; returns passwords a second, from the first request to the last delivery."""
        tag = self.tag()
        users = directory.users
        posted = self.post(daemon, users, "--users", users, *how, tag=tag)
        end = daemon.wait_delivered(before + users)
        self.check_by_binding(directory, tag)
        return users / (end - posted["start"])

    # The measurements

    def directory(self, is_durable):
        where = "slapd with fsync" if is_durable else "slapd without fsync"
        self.say(where)
        users = self.options.users
        ours = {"known": [], "singles": [], "new": []}
        raw, costs = [], {}
        with OpenLDAP(self.folder / f"slapd-{is_durable}", users, is_durable) as directory:
            grid = {each: self.raw(directory, *each, users // 2) for each in GRID}
            best = max(grid, key=grid.get)
            found = (f"{connections}×{window} {rate:.0f}/s" for (connections, window), rate in grid.items())
            self.note("raw client, connections × outstanding: " + ", ".join(found))
            for number in range(self.options.rounds):
                def raw_side():
                    with self.measuring({"slapd alone": directory.process.pid}, users, costs):
                        raw.append(self.raw(directory, *best, users))

                def our_side():
                    with Daemon(self.folder / f"ldap-{is_durable}-{number}", self.options.bin, directory) as daemon:
                        self.check_sandbox(daemon)
                        ours["new"].append(self.deliver_all(daemon, directory, 0, *NDJSON))
                        with self.measuring({**daemon.processes(), "slapd": directory.process.pid}, users, costs):
                            ours["known"].append(self.deliver_all(daemon, directory, users, *NDJSON))
                        ours["singles"].append(self.deliver_all(daemon, directory, 2 * users, *SINGLES))

                self.alternate(number, raw_side, our_side)
        self.note_costs("password of a known user", costs)
        baseline = f"raw libldap {best[0]}×{best[1]}"
        hold = 0.95 if is_durable else 0.70
        self.row(f"passwords into {where}, known users, NDJSON", ours["known"], baseline, raw, hold)
        self.row(f"passwords into {where}, known users, 64 connections", ours["singles"], baseline, raw, None)
        self.row(f"passwords into {where}, each user's first, NDJSON", ours["new"], baseline, raw, None)

    def intake(self):
        self.say("intake")
        singles, batches, postgres_rates, redis_rates = [], [], [], []
        events = self.options.events
        latencies, costs = [], {}
        with PostgreSQL(self.folder / "postgres") as postgres, Redis(self.folder / "redis") as redis:
            postgres.insert_rate(1)  # what initdb has left to write is not its fault
            for number in range(self.options.rounds):
                def competitors():
                    postgres_rates.append(postgres.insert_rate(self.options.seconds))
                    redis_rates.append(redis.add_rate(2 * events))

                def our_side():
                    with Daemon(self.folder / f"intake-{number}", self.options.bin) as daemon:
                        with self.measuring(daemon.processes(), events, costs):
                            measured = self.post(daemon, events)
                        latencies.append((measured["p50_ms"], measured["p99_ms"]))
                        singles.append(measured["rate"])
                        batches.append(self.post(daemon, 4 * events, "--batch", 100, "--connections", 16)["rate"])

                self.alternate(number, competitors, our_side)
        self.note_costs("single event", costs)
        self.row("durable intake, single events, 64 connections", singles, "PostgreSQL INSERT", postgres_rates, 1.5)
        self.row("durable intake, NDJSON of 100, 16 connections", batches, "Redis XADD", redis_rates, 1.5)
        p50, p99 = (statistics.median(values) for values in zip(*latencies))
        self.note(f"intake, 64 connections at full speed: 202 after p50 {p50:.1f} ms, p99 {p99:.1f} ms")

    def idle(self):
        """Latency on an idle system, and what an idle system costs."""
        self.say("idle system")
        users = self.options.users
        with OpenLDAP(self.folder / "slapd-idle", users, True) as directory:
            directory.stop()
            directory.start("stats")
            with Daemon(self.folder / "idle", self.options.bin, directory) as daemon:
                self.rest(daemon, "fresh")
                self.deliver_all(daemon, directory, 0, *NDJSON)
                count = min(users, (10 if users > 2_000 else 3) * self.options.rate)
                times = self.folder / "times"
                self.post(daemon, count, "--users", users, "--rate", self.options.rate, "--connections", 16,
                          "--times", times)
                daemon.wait_delivered(users + count)
                self.rest(daemon, f"after {users + count} passwords")
            written = written_at(directory.log.read_text())
        posts = [tuple(map(int, line.split())) for line in times.read_text().splitlines()]
        for what, moments in (
            ("posted", [(user, due) for user, due, _ in posts]),
            ("accepted", [(user, answered) for user, _, answered in posts]),
        ):
            delays = sorted((written[f"u{user}"] - moment) / 1e6 for user, moment in moments)
            self.limit(f"{what} → written in LDAP, idle system, p50", delays[len(delays) // 2], "ms", 5)
            self.limit(f"{what} → written in LDAP, idle system, p99", delays[len(delays) * 99 // 100], "ms", 20)

    def rest(self, daemon, when):
        """Memory and wake-ups of processes that have nothing to do."""
        time.sleep(3)  # until what the last deliveries left behind has been tidied up
        processes = daemon.processes()
        before = {pid: wake_ups(pid) for pid in processes.values()}
        time.sleep(self.options.idle)
        for name, pid in processes.items():
            memory = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
            self.limit(f"memory of the {name}, {when}", memory, "MiB", {"daemon": 48, "worker": 12}[name])
        total = sum(increase(before[pid], wake_ups(pid)) for pid in processes.values())
        self.limit(f"wake-ups of both, {when}", total / self.options.idle, "/s", 2)

    def check_sandbox(self, daemon):
        layers = daemon.provider()["layers"] or []
        if len(layers) < 4:
            raise RuntimeError(f"the worker's sandbox has only the layers {layers}: this would flatter us")

    @contextlib.contextmanager
    def measuring(self, processes, count, costs):
        """Adds to `costs` what each of `count` operations costs each process: time on a processor, in µs. It hardly
        depends on what else the machine does, unlike everything else here."""
        before = {name: cpu_time(pid) for name, pid in processes.items()}
        yield
        for name, pid in processes.items():
            costs.setdefault(name, []).append(increase(before[name], cpu_time(pid)) / count * 1e6)

    def note_costs(self, what, costs):
        figures = (f"{name} {statistics.median(each):.0f} µs" for name, each in costs.items())
        self.note(f"processor time for a {what}: " + ", ".join(figures))

    @staticmethod
    def alternate(number, *sides):
        """Both sides, in turn first: a machine that gets slower or faster favours nobody."""
        for side in sides if number % 2 == 0 else reversed(sides):
            side()

    # What is printed

    def row(self, what, ours, baseline, theirs, hold):
        ratios = [our / their for our, their in zip(ours, theirs)]
        middle = statistics.median(ratios)
        self.rows.append({
            "what": what, "ours": f"{statistics.median(ours):,.0f}/s",
            "baseline": f"{baseline} {statistics.median(theirs):,.0f}/s",
            "ratio": f"{middle:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
            "hold": "" if hold is None else f"≥ {hold:.2f}", "holds": hold is None or middle >= hold,
            "rounds": {"ours": ours, "baseline": theirs},
        })

    def limit(self, what, value, unit, hold):
        self.rows.append({
            "what": what, "ours": f"{value:.1f} {unit}", "baseline": "", "ratio": "", "hold": f"≤ {hold} {unit}",
            "holds": value <= hold, "rounds": {"ours": [value]},
        })

    def print_table(self):
        titles = {"what": "what", "ours": "ours", "baseline": "baseline", "ratio": "ratio (min–max)", "hold": "to hold"}
        lines = [titles] + [{**row, "hold": row["hold"] + ("" if row["holds"] else "  SHORT")} for row in self.rows]
        widths = {key: max(len(line[key]) for line in lines) for key in titles}
        for line in lines:
            print("  ".join(line[key].ljust(widths[key]) for key in titles).rstrip())

    def say(self, what):
        print(f"… {what}", file=sys.stderr, flush=True)

    def note(self, what):
        print(f"  {what}", file=sys.stderr, flush=True)


def written_at(log):
    """When each user's password was last written, in ns since 1970, by the log of slapd (`-d stats`): its line about a
    result is made when the write has been committed, and carries the time."""
    users, written = {}, {}
    for line in log.splitlines():
        if found := re.match(r"\w+\.\w+ \S+ (conn=\d+ op=\d+) PASSMOD id=\"uid=(u\d+),", line):
            users[found[1]] = found[2]
        elif found := re.match(r"(\w+)\.(\w+) \S+ (conn=\d+ op=\d+) RESULT .*err=0", line):
            if user := users.pop(found[3], None):
                written[user] = int(found[1], 16) * 1_000_000_000 + int(found[2], 16)
    return written


def threads(pid, file, read):
    """What `read` makes of each thread's `file`, by thread."""
    return {task.name: read((task / file).read_text()) for task in Path("/proc", str(pid), "task").iterdir()}


def wake_ups(pid):
    """How often each thread of a process has waited for something since it began."""
    return threads(pid, "status", lambda text: int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text)[1]))


def cpu_time(pid):
    """What each thread of a process has had of the processors, in seconds."""
    return threads(pid, "schedstat", lambda text: int(text.split()[0]) / 1e9)


def increase(before, after):
    """By how much the threads' figures have grown together; what a thread that has ended did since is left out."""
    return sum(figure - before.get(thread, 0) for thread, figure in after.items())


def read_options():
    parser = argparse.ArgumentParser(prog="Benchmarks/run", description=__doc__)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--quick", action="store_true", help="about a minute: small numbers, three rounds")
    parser.add_argument("--bin", default=root / ".build/release", type=Path, help="where the release build is")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help="alternating rounds of each measurement; default 5")
    parser.add_argument("--only", choices=["fsync", "nosync", "intake", "idle"], action="append")
    parser.add_argument("--json", type=Path, help="writes every round's figures to this file")
    parser.add_argument("--keep", action="store_true", help="keeps the temporary folder")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    small = options.quick
    options.rounds = options.rounds or (3 if small else 5)
    options.users = 1_000 if small else 10_000
    options.events = 10_000 if small else 100_000
    options.seconds = 1 if small else 4
    options.rate = 200
    options.idle = 2 if small else 15
    return options


def describe_machine(folder):
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise RuntimeError(f"{folder} is in memory: fsync means nothing there; set TMPDIR to a folder on a disk")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} × {model[1] if model else os.uname().machine}, Linux {os.uname().release}, {kind}, "
          f"load {load:.1f} at the start\n")


def main():
    options = read_options()
    # A signal ends the run as an error does: every server is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parent = os.environ.get("TMPDIR", "/var/tmp")
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="rs-bench-", dir=parent)
        if not options.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(Server.stop_all)
        Path(folder).chmod(0o755)
        describe_machine(folder)
        bench = Bench(options, folder)
        try:
            for name, measure in (
                ("fsync", lambda: bench.directory(is_durable=True)),
                ("nosync", lambda: bench.directory(is_durable=False)),
                ("intake", bench.intake),
                ("idle", bench.idle),
            ):
                if options.only is None or name in options.only:
                    measure()
        finally:
            # What was measured before an interruption was measured.
            bench.print_table()
        if options.json:
            options.json.write_text(json.dumps(bench.rows, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
