"""What the benches share: programs under measurement, a private Redis, the load generator, and readings of /proc.

Every process gets its own port and log, is stopped by its own handle, and is waited for; nothing here kills by name.
With two or more CPUs the measured server has the first for itself, and the load and Redis share the others: where the
scheduler happens to put them would otherwise move the result by a third.
"""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

LOOPBACK = "127.0.0.1"


class Broken(Exception):
    """The bench could not measure: a program is missing, died, or did not do what it was asked."""


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def find_program(build, name):
    for folder in ("", "manager", "bin", "tests/bench"):
        path = Path(build) / folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise Broken(f"{name} is not in {build}: build it first (cmake --preset release && cmake --build --preset release)")


def cpu_sets(pin):
    """(CPUs of the measured server, CPUs of everything else)."""
    cpus = sorted(os.sched_getaffinity(0))
    if not pin or len(cpus) < 2:
        return set(cpus), set(cpus)
    return {cpus[0]}, set(cpus[1:])


class Process:
    """A child with a log file. `with Process(...) as p:` always stops it."""

    def __init__(self, argv, env=None, cpus=None, **pipes):
        self.argv = argv
        self.log = tempfile.NamedTemporaryFile(prefix=f"{Path(argv[0]).name}-", suffix=".log", delete=False)
        pipes.setdefault("stdin", subprocess.DEVNULL)
        pipes.setdefault("stdout", self.log)
        clean = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(env or {})}
        place = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
        self.child = subprocess.Popen(argv, env=clean, stderr=self.log, preexec_fn=place, **pipes)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        self.stop()
        if kind is None:
            os.unlink(self.log.name)

    def tail(self):
        with open(self.log.name, errors="replace") as log:
            return f"{self.argv[0]} (log {self.log.name}):\n" + "".join(log.readlines()[-15:])

    def wait_until(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Broken(f"not {what} within {seconds} s: {self.tail()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(0.01)
                raise Broken(f"exited with {self.child.returncode} before {what}: {self.tail()}")

    def stop(self, seconds=30):
        """SIGTERM, and SIGKILL when that is not enough. Returns the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()
        return self.child.returncode

    def cpu_seconds(self):
        """User and system time of all its threads, to the nanosecond: the kernel's own clock of that process."""
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e9

    def memory(self):
        """Bytes: resident, proportional, and anonymous (what it allocated, without pages of files)."""
        with open(f"/proc/{self.pid}/smaps_rollup") as rollup:
            fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", rollup.read(), re.M))
        return {name: int(fields[key]) * 1024 for name, key in (("rss", "Rss"), ("pss", "Pss"), ("anon", "Anonymous"))}


def port_open(port):
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def all_read(port):
    """Whether a server has taken every byte that its sockets on this port received."""
    local = f"{port:04X}"
    with open("/proc/net/tcp") as table:
        next(table)
        rows = (line.split() for line in table)
        return not any(row[1].endswith(":" + local) and row[3] == "01" and not row[4].endswith(":00000000")
                       for row in rows)


def http_get(port, path, timeout=10):
    """(status, body); status 0 when there was no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{LOOPBACK}:{port}{path}", timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


class Redis(Process):
    def __init__(self, cpus):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="bench-redis-")
        super().__init__(["redis-server", "--port", str(self.port), "--bind", LOOPBACK, "--save", "",
                          "--appendonly", "no", "--dir", self.folder.name], cpus=cpus)
        self.wait_until(lambda: port_open(self.port), "listening")
        self.socket = socket.create_connection((LOOPBACK, self.port))
        self.stream = self.socket.makefile("rb")

    def stop(self, seconds=30):
        code = super().stop(seconds)
        self.folder.cleanup()
        return code

    def _read(self):
        line = self.stream.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        raise Broken(f"redis: {line!r}")

    def command(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return self._read()

    def calls(self):
        """Commands executed so far by name, those inside scripts included, our own INFO not."""
        text = self.command("INFO", "commandstats").decode()
        calls = {name: int(count) for name, count in re.findall(r"cmdstat_(\S+?):calls=(\d+)", text)}
        calls.pop("info", None)
        return calls


class Sink(Process):
    name = "sink"

    def __init__(self, build, cpus):
        self.port = free_port()
        super().__init__([find_program(build, "bench_lws_sink"), str(self.port)], cpus=cpus, stdout=subprocess.PIPE)
        self.wait_until(lambda: port_open(self.port), "listening")

    def stop_and_count(self):
        """Stops it; returns how many messages it took."""
        if self.stop() != 0:
            raise Broken(f"sink exited with {self.child.returncode}: {self.tail()}")
        return json.loads(self.child.stdout.read())["messages"]


class Manager(Process):
    name = "manager"

    def __init__(self, build, cpus, redis, env=None):
        self.port = free_port()
        redis.command("FLUSHALL")
        super().__init__([find_program(build, "heartbeat-manager")], cpus=cpus, env={
            "MANAGER_PORT": str(self.port), "BIND_HOST": LOOPBACK, "REDIS_HOST": LOOPBACK,
            "REDIS_PORT": str(redis.port), **(env or {})})
        self.wait_until(lambda: http_get(self.port, "/readyz")[0] == 200, "ready (GET /readyz 200)")

    def workers(self):
        status, body = http_get(self.port, "/workers", timeout=60)
        if status != 200:
            raise Broken(f"GET /workers answered {status}: {self.tail()}")
        return json.loads(body)


class Load(Process):
    """bench_ws_load, told what to do over its standard input."""

    def __init__(self, build, cpus, port, sockets, register):
        argv = [find_program(build, "bench_ws_load"), "--port", str(port), "--sockets", str(sockets)]
        super().__init__(argv + (["--register"] if register else []), cpus=cpus,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def report(self, event, seconds):
        if not select.select([self.child.stdout], [], [], seconds)[0]:
            raise Broken(f"load: no {event!r} within {seconds} s: {self.tail()}")
        line = self.child.stdout.readline()
        found = json.loads(line) if line else {"event": f"exit: {self.tail()}"}
        if found["event"] != event:
            raise Broken(f"load: wanted {event!r}, got {found}")
        return found

    def connected(self, seconds=120):
        found = self.report("connected", seconds)
        if found["failed"]:
            raise Broken(f"load: not everybody got in: {found}")
        return found

    def beat(self, rate, seconds, tick_us=0):
        self.child.stdin.write(b"beat %d %d %d\n" % (rate, seconds, tick_us))
        self.child.stdin.flush()
        return self.report("phase", seconds * 3 + 30)

    def quit(self):
        self.child.stdin.write(b"quit\n")
        self.child.stdin.flush()
        return self.report("total", 30)
