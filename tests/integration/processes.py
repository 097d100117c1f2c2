"""The real programs as objects: each has its own port, folder, log and handle, and is looked over when it ends."""
import ctypes
import os
import random
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys

import redis
import requests

from waiting import LIMIT_S, wait_for

BUILD_DIR = os.environ.get("HB_BUILD_DIR", "build/asan")
PLAIN_BUILD_DIR = os.environ.get("HB_PLAIN_BUILD_DIR", "")
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]
COMPLAINT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|^==\d+== ", re.MULTILINE)
PR_SET_PDEATHSIG = 1

_claims = []


def free_port():
    """A port nobody listens on, claimed against the tests that run beside this one until this process ends.

    It lies below the range from which the kernel takes the ports of outgoing connections, so none of those can take it
    away before the program listens.
    """
    while True:
        port = random.randint(20000, 32000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0heartbeat-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


def binary(name, build_dir=BUILD_DIR):
    return os.path.abspath(os.path.join(build_dir, name.split("-")[1], name))


class Process:
    """One program. Its environment is exactly what it is given; its output is in log_path."""

    def __init__(self, name, argv, env, directory, nofile=None):
        self.name, self.argv, self.nofile = name, argv, nofile
        self.env = {"PATH": os.environ["PATH"], "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", **env}
        self.log_path = os.path.join(directory, f"{name}.log")
        self.popen = None
        self.frozen = False

    def start(self):
        def in_child():
            if self.nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))
            # A test that is itself killed leaves nothing behind.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, preexec_fn=in_child)
        self.frozen = False
        return self

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def freeze(self):
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self):
        # Only when frozen: a SIGCONT that comes while the leak checker of a dying process stops its threads hangs it.
        if self.frozen:
            self.frozen = False
            self.signal(signal.SIGCONT)

    def kill(self):
        """As a crash would: no goodbye of any kind, except that the kernel closes its sockets."""
        self.popen.kill()
        self.popen.wait(LIMIT_S)

    def wait(self):
        return self.popen.wait(LIMIT_S)

    def stop(self):
        """SIGTERM, and it must end by itself with exit code 0."""
        self.signal(signal.SIGTERM)
        self.thaw()
        code = self.wait()
        assert code == 0, f"{self.name} ended with {code} after SIGTERM"

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def events(self, event, **fields):
        """Its log lines of one event as dicts, of those that have these fields."""
        lines = []
        for line in self.log().splitlines():
            if f"event={event}" not in line:
                continue
            line = dict(word.partition("=")[::2] for word in shlex.split(line))
            if line.get("event") == event and all(line.get(key) == value for key, value in fields.items()):
                lines.append(line)
        return lines

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def complaints(self):
        return COMPLAINT.search(self.log()) if os.path.exists(self.log_path) else None


class RedisServer(Process):
    """Its settings (`settings`, by Redis' names) may be changed while it is down. It forgets everything when it ends,
    unless they say otherwise."""

    def __init__(self, directory, port=None, settings=None):
        self.port = port or free_port()
        self.settings = {"bind": "127.0.0.1", "port": self.port, "dir": directory, "save": "", "appendonly": "no",
                         **(settings or {})}
        super().__init__("redis", [], {}, directory)
        self.client = redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True, socket_timeout=5)

    def launch(self):
        """Starts it, and does not wait for it to answer."""
        self.argv = ["redis-server"]
        for name, value in self.settings.items():
            self.argv += [f"--{name}", str(value)]
        return super().start()

    def start(self):
        self.launch()
        wait_for("Redis answers", self.client.ping)
        return self

    def hash(self):
        return self.client.hgetall("workers")


class Manager(Process):
    def __init__(self, directory, redis_port, env, name="manager", under=(), build_dir=BUILD_DIR, nofile=None):
        self.port = int(env.get("MANAGER_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = requests.Session()
        self.http.trust_env = False  # no proxies
        super().__init__(name, [*under, binary("heartbeat-manager", build_dir)], {
            "BIND_HOST": "127.0.0.1", "MANAGER_PORT": str(self.port), "MANAGER_ID": "m1",
            "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_port), **env}, directory, nofile)

    def start(self):
        super().start()
        self.wait_answer("/livez")
        return self

    def wait_answer(self, path):
        def answers():
            assert self.running(), f"{self.name} ended with {self.popen.returncode}"
            return self.get(path).status_code == 200
        wait_for(f"{self.name} answers {path} with 200", answers)
        return self

    def get(self, path, **options):
        return self.http.get(self.url + path, timeout=10, **options)

    def post(self, path, body=None, **options):
        return self.http.post(self.url + path, json=body, timeout=10, **options)

    def delete(self, path, **options):
        return self.http.delete(self.url + path, timeout=10, **options)

    def register(self, worker, port=9000, **fields):
        """In the seed's shape, with an address, so that it serves once it beats."""
        answer = self.post("/register", {"worker_id": worker, "worker_name": worker, "host": "127.0.0.1", "port": port,
                                         **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self):
        return self.get("/workers").json()

    def row(self, worker):
        return self.rows().get(worker)

    def wait_row(self, worker, **fields):
        """Waits until the worker's row shows these values, and returns the row."""
        def matches():
            row = self.row(worker)
            return row if row and all(row.get(key) == value for key, value in fields.items()) else None
        try:
            return wait_for(f"{worker} shows {fields}", matches)
        except AssertionError as error:
            raise AssertionError(f"{error}; its row: {self.row(worker)}") from None


class Worker(Process):
    def __init__(self, directory, manager_port, worker, env):
        self.worker = worker
        self.port = int(env.get("WORKER_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(f"worker-{worker}", [binary("heartbeat-worker")], {
            "BIND_HOST": "127.0.0.1", "WORKER_PORT": str(self.port), "WORKER_ID": worker, "WORKER_NAME": f"Worker {worker}",
            "MANAGER_HOST": "127.0.0.1", "MANAGER_PORT": str(manager_port), **env}, directory)

    def get(self, path, method="GET"):
        with requests.Session() as http:
            http.trust_env = False
            return http.request(method, self.url + path, timeout=10)


class Scene:
    """What one test has started. Closing it stops everything, and holds every program to a clean end."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.processes = []

    def _start(self, process):
        self.processes.append(process)
        return process.start()

    def redis(self, port=None, **settings):
        """Settings by Redis' names, with _ for -."""
        settings = {name.replace("_", "-"): value for name, value in settings.items()}
        return self._start(RedisServer(self.directory, port, settings))

    def manager(self, redis_server=None, under=(), build_dir=BUILD_DIR, nofile=None, **env):
        """Started and answering; with a Redis also ready, else its Redis is a port where nobody listens."""
        env = {key: str(value) for key, value in env.items()}
        redis_port = env.pop("REDIS_PORT", None) or (redis_server.port if redis_server else free_port())
        name = "manager" + str(sum(isinstance(process, Manager) for process in self.processes) or "")
        manager = self._start(Manager(self.directory, redis_port, env, name, under, build_dir, nofile))
        return manager.wait_answer("/readyz") if redis_server else manager

    def worker(self, manager, worker, **env):
        return self._start(Worker(self.directory, manager.port, worker, {key: str(value) for key, value in env.items()}))

    def close(self):
        faults = []
        order = {Worker: 0, Manager: 1, RedisServer: 2}
        for process in sorted(self.processes, key=lambda process: order[type(process)]):
            try:
                if process.running() and isinstance(process, RedisServer):
                    process.kill()
                elif process.running():
                    process.stop()
            except (AssertionError, subprocess.TimeoutExpired) as fault:
                faults.append(str(fault))
                process.kill()
            if process.complaints():
                faults.append(f"{process.name} was faulted by a sanitizer or valgrind: see its log")
        if faults:
            for process in self.processes:  # the test itself may have passed: its report holds no logs then
                print(f"---- {process.log_path}\n{process.log()[-6000:]}", file=sys.stderr)
        assert not faults, "; ".join(faults)
