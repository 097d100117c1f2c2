"""deploy/up.sh: one command brings all of it up, and however it ends, nothing is left behind."""
import json
import os
import re
import signal
import socket
import subprocess
import uuid

import pytest
import requests

from processes import free_port
from waiting import wait_for

UP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../deploy/up.sh"))
BUILD_LIMIT_S = 300  # it may have to compile first


class Up:
    """A run of up.sh. Its processes are told from all others by a mark in their environment, which they inherit."""

    def __init__(self, directory, *flags, **env):
        self.mark = f"UP_TEST_MARK={uuid.uuid4()}"
        self.temp = directory / "temp"
        self.temp.mkdir()
        self.port = free_port()
        self.output_path = directory / "output"
        name, _, value = self.mark.partition("=")
        env = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(self.temp), "MANAGER_PORT": str(self.port),
               "WORKER_PORT": str(free_port()), "HEARTBEAT_INTERVAL": "0.5", name: value, **env}
        with open(self.output_path, "wb") as output:
            self.popen = subprocess.Popen([UP, *flags], env=env, stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=subprocess.STDOUT, start_new_session=True)

    def output(self):
        return self.output_path.read_text(encoding="utf-8")

    def wait_up(self):
        def is_up():
            assert self.popen.poll() is None, self.output()
            return "Ctrl-C stops" in self.output()
        wait_for("up.sh says that all is up", is_up, limit_s=BUILD_LIMIT_S)

    def pid_of(self, program):
        return int(re.search(rf"^ +{program} .*pid (\d+)", self.output(), re.MULTILINE)[1])

    def workers(self):
        with requests.Session() as http:
            http.trust_env = False
            return http.get(f"http://127.0.0.1:{self.port}/workers", timeout=10).json()

    def signal_group(self, number):
        """As a terminal does: to everything in up.sh's process group."""
        os.killpg(self.popen.pid, number)

    def processes(self):
        """Command lines of what runs with the mark."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    if self.mark.encode() in environ.read():
                        found.append(cmdline.read().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def assert_nothing_left(self):
        assert self.processes() == []
        assert os.listdir(self.temp) == []


@pytest.fixture
def up(tmp_path):
    runs = []

    def start(*flags, **env):
        runs.append(Up(tmp_path, *flags, **env))
        return runs[-1]

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.terminate()
            run.popen.wait(60)
        print(run.output())


def test_up_and_down_again(up):
    run = up("--exit-when-alive")
    assert run.popen.wait(BUILD_LIMIT_S) == 0, run.output()
    assert "4 workers alive" in run.output()
    for needed in (f"http://127.0.0.1:{run.port}/", "hgetall workers", "kill -9", f"curl http://127.0.0.1:{run.port}/workers"):
        assert needed in run.output()
    run.assert_nothing_left()


def test_the_story_it_tells_is_true(up):
    run = up("--workers", "2", HEARTBEAT_TIMEOUT="2")
    run.wait_up()
    assert {row["status"] for row in run.workers().values()} == {"alive"}
    redis_line = re.search(r"redis-cli -p \d+ hgetall workers", run.output())[0]
    stored = subprocess.run(redis_line.split(), capture_output=True, text=True, check=True).stdout.splitlines()
    assert {json.loads(row)["worker_id"] for row in stored[1::2]} == {"worker1", "worker2"}

    os.kill(run.pid_of("worker1"), signal.SIGKILL)
    wait_for("worker1 is not_responding", lambda: run.workers()["worker1"]["status"] == "not_responding")
    wait_for("up.sh says so", lambda: "worker1 (pid" in run.output())
    assert run.popen.poll() is None, "up.sh goes on without a worker"
    assert run.workers()["worker2"]["status"] == "alive"

    run.signal_group(signal.SIGINT)
    assert run.popen.wait(60) == 130
    run.assert_nothing_left()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_ways_to_stop_it(up, number, code):
    run = up("--workers=1")
    run.wait_up()
    run.popen.send_signal(number)
    assert run.popen.wait(60) == code
    run.assert_nothing_left()


def test_a_frozen_worker_does_not_keep_it(up):
    run = up("--workers=1")
    run.wait_up()
    os.kill(run.pid_of("worker1"), signal.SIGSTOP)
    run.signal_group(signal.SIGINT)
    assert run.popen.wait(60) == 130
    run.assert_nothing_left()


def test_the_manager_dies(up):
    run = up("--workers=1")
    run.wait_up()
    os.kill(run.pid_of("manager"), signal.SIGKILL)
    assert run.popen.wait(60) == 1
    assert "the manager" in run.output() and "event=manager_started" in run.output(), "it shows the end of the log"
    run.assert_nothing_left()


def test_killed_itself(up):
    run = up("--workers=1")
    run.wait_up()
    run.popen.kill()
    run.popen.wait(60)
    wait_for("no process of it is left", lambda: run.processes() == [])


def test_wrong_usage(up):
    run = up("--workers", "none")
    assert run.popen.wait(60) == 64
    assert "'none'" in run.output()
    run.assert_nothing_left()


def test_a_port_that_is_taken(up):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        run = up("--exit-when-alive", "--workers=1", WORKER_PORT=str(port))
        assert run.popen.wait(BUILD_LIMIT_S) == 0, run.output()
    assert f"port {port} is in use: worker1 listens on {port + 1}" in run.output()
    run.assert_nothing_left()
