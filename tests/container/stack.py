"""The containers of one project, driven as a user drives them: docker-compose, docker, and HTTP from outside."""
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from datetime import datetime

import requests

from processes import free_port
from waiting import LIMIT_S, wait_for

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
WORKERS = ["worker1", "worker2", "worker3", "worker4"]
COMMAND_LIMIT_S = 900  # of one command; the longest makes an image

# What this process was given to reach Docker and the outside with. The variables of the programs are not among it.
PASSED_ON = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG", "http_proxy", "https_proxy", "no_proxy")


def environment(**more):
    return {**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **more}


def run(words, env=None, check=True):
    """A command in the root of the checkout. Shown in the report of a test that fails."""
    done = subprocess.run(words, cwd=ROOT, env=env or environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=COMMAND_LIMIT_S, check=False)
    print(f"$ {' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    assert not check or done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-4000:]}"
    return done


def docker(*words, check=True):
    return run(["docker", *words], check=check).stdout


def wall_s(text):
    """Seconds since 1970 of an ISO 8601 time, whose fraction may have more digits than Python reads."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


class Stack:
    def __init__(self, images, name, **env):
        self.project = f"heartbeat-test-{name}-{os.getpid()}"
        self.port = free_port()
        self.env = environment(COMPOSE_PROJECT_NAME=self.project, MANAGER_PORT=str(self.port), **images, **env)
        self.http = requests.Session()
        self.http.trust_env = False  # no proxies

    # ---- docker ----

    def compose(self, *words, check=True, **env):
        return run([*COMPOSE, *words], {**self.env, **env}, check)

    @contextmanager
    def meanwhile(self, *words):
        """A command of docker-compose that runs while what it does is looked at."""
        running = subprocess.Popen([*COMPOSE, *words], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            assert running.wait(LIMIT_S) == 0, f"docker-compose {' '.join(words)}: exit code {running.returncode}"

    def container(self, service):
        """The id of its container, running or not."""
        return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}",
                      "--filter", f"label=com.docker.compose.service={service}").strip()

    def inspect(self, service):
        return json.loads(docker("inspect", self.container(service)))[0]

    def events(self, service, *actions):
        """[(seconds since 1970, action)] of what has happened to its container."""
        lines = docker("events", "--since", "1", "--until", f"{time.time():.3f}", "--filter", "type=container",
                       "--filter", f"container={self.container(service)}", "--format", "{{.TimeNano}} {{.Action}}")
        pairs = [line.split(" ", 1) for line in lines.splitlines()]
        return [(int(at) / 1e9, action) for at, action in pairs if action in actions]

    def logs(self, service):
        return self.compose("logs", "--no-color", service).stdout

    def network(self, name):
        return f"{self.project}_{name}"

    # ---- manager ----

    def get(self, path):
        return self.http.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def delete(self, path):
        return self.http.delete(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def rows(self):
        return self.get("/workers").json()

    def wait_row(self, worker, **fields):
        """Waits until GET /workers shows these values in the worker's row, and returns the row."""
        def matches():
            row = self.rows().get(worker)
            return row if row and all(row.get(key) == value for key, value in fields.items()) else None
        return wait_for(f"{worker} shows {fields}", matches)

    def four_alive(self):
        rows = self.rows()
        return sorted(rows) == WORKERS and all(
            row["status"] == "alive" and row["serving"] and not row.get("unverified") for row in rows.values())

    def wait_four_alive(self):
        wait_for("exactly four rows, all alive", self.four_alive)

    # ---- Redis ----

    def redis(self, *words, check=True):
        """redis-cli in the container, without a password."""
        return docker("exec", self.container("redis"), "redis-cli", *words, check=check)

    def hash(self):
        """The hash `workers`, as the command of the README shows it."""
        lines = self.compose("exec", "-T", "redis", "redis-cli", "HGETALL", "workers").stdout.splitlines()
        return {worker: json.loads(row) for worker, row in zip(lines[::2], lines[1::2])}

    def wait_hash(self, worker, status):
        wait_for(f"the hash says that {worker} is {status}",
                 lambda: json.loads(self.redis("HGET", "workers", worker) or "{}").get("status") == status)

    # ---- life ----

    def up(self, *words):
        self.compose("up", "-d", *words)
        self.wait_four_alive()

    def down(self):
        self.compose("--profile", "fleet", "down", "--volumes", "--remove-orphans")
        self.http.close()


class Listener:
    """redis-cli in the container, subscribed to server:* without a password."""

    def __init__(self, stack, path):
        self.path = path
        with open(path, "wb") as out:
            self.popen = subprocess.Popen(["docker", "exec", stack.container("redis"), "redis-cli", "PSUBSCRIBE",
                                           "server:*"], env=environment(), stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT)
        wait_for("the subscription stands", lambda: "psubscribe" in self.lines())

    def lines(self):
        with open(self.path, encoding="utf-8") as printed:
            return printed.read().splitlines()

    def heard(self):
        """[(channel, worker)], oldest first: redis-cli prints pmessage, pattern, channel and payload, a line each."""
        lines = self.lines()
        starts = [at for at, line in enumerate(lines) if line == "pmessage" and at + 3 < len(lines)]
        return [(lines[at + 2], json.loads(lines[at + 3])["server_id"]) for at in starts]

    def close(self):
        self.popen.kill()
        self.popen.wait(LIMIT_S)
