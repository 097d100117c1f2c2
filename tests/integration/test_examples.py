"""deploy/examples: each does what its small project promised, on its ports and in its words, and leaves nothing behind."""
import json
import os
import re
import signal
import socket
import subprocess
import uuid

import pytest
import redis
import requests

from processes import BUILD_DIR
from waiting import wait_for

EXAMPLES = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../deploy/examples"))
NAMES = ["polling-monitor", "random-health", "poller"]
FAST = {"POLL_INTERVAL": "0.3", "POLL_FAST_INTERVAL": "0.1", "HOLD_SECONDS": "0.6"}


class Example:
    """A run of one of them. Its processes are told from all others by a mark in their environment, which they inherit, or,
    as Redis writes over its own, by their folder."""

    def __init__(self, directory, name, *flags, **env):
        self.mark = f"EXAMPLE_TEST_MARK={uuid.uuid4()}"
        self.temp = directory / "temp"
        self.temp.mkdir()
        self.output_path, self.errors_path = directory / "output", directory / "errors"
        mark, _, value = self.mark.partition("=")
        env = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(self.temp),
               "HB_BUILD_DIR": os.path.abspath(BUILD_DIR), mark: value, **FAST, **env}
        with open(self.output_path, "wb") as output, open(self.errors_path, "wb") as errors:
            self.popen = subprocess.Popen([os.path.join(EXAMPLES, name + ".sh"), *flags], env=env, cwd=directory,
                                          stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True)
        self.http = requests.Session()
        self.http.trust_env = False

    def output(self):
        return self.output_path.read_text(encoding="utf-8")

    def errors(self):
        return self.errors_path.read_text(encoding="utf-8")

    def wait_output(self, pattern):
        def says():
            assert self.popen.poll() is None or re.search(pattern, self.output()), self.output() + self.errors()
            return re.search(pattern, self.output())
        return wait_for(f"it says {pattern}", says)

    def port(self, name, promised):
        """Where the small project had it, unless somebody else was there when the script came."""
        elsewhere = re.search(rf"port {promised} is in use: {name} is on (\d+)", self.output())
        return int(elsewhere[1]) if elsewhere else promised

    def get(self, name, promised, path):
        return self.http.get(f"http://127.0.0.1:{self.port(name, promised)}{path}", timeout=10)

    def processes(self, word=""):
        """pid → command line of what runs with the mark and has this word in its command line."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    if self.mark.encode() in environ.read() or os.readlink(f"/proc/{pid}/cwd").startswith(str(self.temp)):
                        found[int(pid)] = cmdline.read().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if word in line}

    def kill(self, word):
        pid, = self.processes(word)
        os.kill(pid, signal.SIGKILL)

    def wait(self):
        return self.popen.wait(120)

    def interrupt(self):
        """Ctrl-C, as a terminal sends it: to everything in the script's process group."""
        os.killpg(self.popen.pid, signal.SIGINT)
        assert self.wait() == 130, self.errors()
        self.assert_nothing_left()

    def assert_nothing_left(self):
        assert self.processes() == {}
        assert os.listdir(self.temp) == []


@pytest.fixture
def example(tmp_path):
    runs = []

    def start(name, *flags, **env):
        runs.append(Example(tmp_path, name, *flags, **env))
        return runs[-1]

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.terminate()
            run.popen.wait(60)
        print(run.output(), run.errors())


def test_the_polling_monitor(example):
    run = example("polling-monitor", "--other-ports")
    run.wait_output("Ctrl-C stops")

    def metrics():
        return run.get("manager", 8080, "/metrics").json()

    def shows(name, **expected):
        return wait_for(f"{name} shows {expected}", lambda: all(metrics()[name].get(key) == value for key, value in expected.items()))

    shows("svc1", ready=True, health="healthy")
    shows("svc2", ready=True, health="degraded")
    seen = metrics()
    assert set(seen) == {"svc1", "svc2"}
    for name, service in seen.items():
        assert service["uptime"] > 0 and service["request_count"] > 0, name
        assert 0 <= service["last_checked_age"] < 60
        assert service["error_rate"] == pytest.approx(service["error_count"] / service["request_count"], abs=1e-5)
    assert seen["svc1"]["error_count"] == 0
    # what it registered with, joined with what it says, whose word counts
    assert seen["svc1"]["attributes"] == {"service": "user", "env": "prod", "version": "1.4.2"}
    assert seen["svc2"]["attributes"] == {"service": "order", "env": "staging", "version": "0.9.0"}
    assert run.get("svc1", 9001, "/health").json()["status"] == "healthy"

    run.kill("--name svc1")
    shows("svc1", ready=False, health="dead")
    shows("svc2", ready=True, health="degraded")
    run.http.post(f"http://127.0.0.1:{run.port('manager', 8080)}/register",
                  json={"id": "svc3", "url": f"http://localhost:{run.port('svc2', 9002)}/none"}, timeout=10)
    shows("svc3", ready=True)  # services join at run time
    run.interrupt()


def test_the_random_monitor(example):
    run = example("random-health", "--other-ports")
    run.wait_output("What is published")
    redis_port = re.search(r"redis-cli -p (\d+) psubscribe", run.output())[1]
    client = redis.Redis(port=int(redis_port), decode_responses=True)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("server:down", "server:recovery")
    heard = []

    def recovers():
        message = pubsub.get_message()
        while message:
            heard.append((message["channel"], json.loads(message["data"])["server_id"]))
            message = pubsub.get_message()
        return any(channel == "server:recovery" and ("server:down", server) in heard[:i]
                   for i, (channel, server) in enumerate(heard))

    wait_for("a server goes down and recovers", recovers)
    channel, server = heard[-1]
    run.wait_output(rf'{channel} {{"server_id":"{server}"')
    rows = run.get("manager", 8080, "/workers").json()
    assert [row["worker_name"] for row in rows.values()] == [f"server{i}" for i in range(1, 6)]
    run.interrupt()

    # Of each server: up first, then down and recovery by turns.
    stories = {}
    for channel, event in re.findall(r"^(server:\w+) (\{.*\})$", run.output(), re.MULTILINE):
        stories.setdefault(json.loads(event)["server_id"], []).append(channel)
    for server, channels in stories.items():
        turns = ["server:up"] + ["server:down", "server:recovery"] * len(channels)
        assert channels == turns[:len(channels)], server


def test_the_poller(example, tmp_path):
    status = tmp_path / "health_status.json"
    run = example("poller", "--other-ports", "--file", str(status))
    run.wait_output("Ctrl-C stops")

    def says(**expected):
        return wait_for(f"the file says {expected}", lambda: json.loads(status.read_text(encoding="utf-8")) == expected)

    says(server1=True, server2=True, server3=True)
    for name, port in (("server1", 8081), ("server2", 8082), ("server3", 8083)):
        assert run.get(name, port, "/ping").text.strip() == "pong"
        assert run.get(name, port, "/").status_code == 200
    run.kill("--name server3")
    says(server1=True, server2=True, server3=False)
    run.wait_output(r'health_status.json: \{"server1":true,"server2":true,"server3":false\}')
    run.interrupt()
    says(server1=True, server2=True, server3=False)


@pytest.mark.parametrize("name", NAMES)
def test_once(example, name):
    run = example(name, "--once", "--other-ports")
    assert run.wait() == 0, run.output() + run.errors()
    run.assert_nothing_left()
    if name == "poller":
        states = re.findall(r"health_status.json: (\{.*\})", run.output())
        # between those: the manager sees one server after the other
        all_up = {"server1": True, "server2": True, "server3": True}
        assert json.loads(states[-1]) == all_up
        assert json.loads(states[-2]) == {**all_up, "server2": False}


@pytest.mark.parametrize("name", NAMES)
def test_seconds(example, name):
    run = example(name, "--seconds=1", "--other-ports")
    assert run.wait() == 0, run.output() + run.errors()
    run.assert_nothing_left()


@pytest.mark.parametrize("name", NAMES)
def test_help_and_wrong_usage(name):
    script = os.path.join(EXAMPLES, name + ".sh")
    told = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0
    assert f"deploy/examples/{name}.sh" in told.stdout and "--seconds N" in told.stdout and "shellcheck" not in told.stdout
    for wrong in (["--nonsense"], ["--seconds", "0"], ["--seconds"]):
        refused = subprocess.run([script, *wrong], capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 64 and "--help" in refused.stderr, wrong


def test_a_port_that_is_taken(example):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8082))
            taken.listen()
        except OSError:
            pass  # somebody else is there, which is as good
        run = example("poller", "--once")
        assert run.wait() == 1
        assert re.search(r"port 808\d, where server\d is to be, is in use: --other-ports", run.errors())
        run.assert_nothing_left()


def test_the_manager_dies(example):
    run = example("poller", "--other-ports")
    run.wait_output("Ctrl-C stops")
    run.kill("heartbeat-manager")
    assert run.wait() == 1
    assert "manager has ended" in run.errors() and "event=manager_started" in run.errors(), "it shows the end of the log"
    run.assert_nothing_left()


def test_killed_itself(example):
    run = example("poller", "--other-ports")
    run.wait_output("Ctrl-C stops")
    run.popen.kill()
    run.popen.wait(60)
    wait_for("no process of it is left", lambda: run.processes() == {})
