"""What can happen to containers, with short timeouts: each test finds four workers alive, and leaves them so."""
import os

import pytest

from stack import WORKERS, Listener, docker
from waiting import wait_for

SETTINGS = {"HEARTBEAT_TIMEOUT": 4, "HEARTBEAT_INTERVAL": 0.5, "RECONNECT_MAX": 1, "REDIS_FLUSH_INTERVAL": 0.2,
            "DISCONNECT_GRACE": 0.5}


@pytest.fixture(scope="module")
def running(started_stack):
    return started_stack("faults", **SETTINGS)


@pytest.fixture
def stack(running):
    yield running
    try:
        running.wait_four_alive()
    except AssertionError:  # a test that failed may leave anything behind
        running.down()
        running.up()


@pytest.fixture
def listener(stack, tmp_path):
    listener = Listener(stack, os.path.join(tmp_path, "heard"))
    yield listener
    listener.close()


def test_kill_and_start(stack):
    name = stack.rows()["worker2"]["worker_name"]
    with stack.meanwhile("kill", "worker2"):
        row = stack.wait_row("worker2", status="disconnected")
        assert row["reason"] in ("connection_closed", "probe_refused")
        stack.wait_hash("worker2", "disconnected")
    stack.wait_row("worker2", status="not_responding")
    stack.wait_hash("worker2", "not_responding")
    stack.compose("start", "worker2")
    row = stack.wait_row("worker2", status="alive")
    assert row["worker_name"] == name
    assert sorted(stack.rows()) == WORKERS
    stack.wait_hash("worker2", "alive")
    assert sorted(stack.hash()) == WORKERS


def test_pause_and_unpause(stack):
    stack.compose("pause", "worker3")
    row = stack.wait_row("worker3", status="not_responding")
    assert row["reason"] == "heartbeat_timeout"  # nothing was closed: only the silence told
    stack.compose("unpause", "worker3")
    stack.wait_row("worker3", status="alive", serving=True)


def test_stop_says_bye(stack):
    with stack.meanwhile("stop", "worker4"):
        row = stack.wait_row("worker4", status="disconnected", reason="goodbye")
        assert not row["serving"]
    assert stack.inspect("worker4")["State"]["ExitCode"] == 0
    row = stack.wait_row("worker4", status="not_responding")
    assert row["reason"] == "goodbye"  # why it went, not that it is silent since
    stack.compose("start", "worker4")
    stack.wait_row("worker4", status="alive", serving=True)


def test_network_disconnect_and_connect(stack):
    worker = stack.container("worker1")
    docker("network", "disconnect", stack.network("workers"), worker)
    row = stack.wait_row("worker1", status="not_responding")
    assert row["reason"] == "heartbeat_timeout"
    docker("network", "connect", stack.network("workers"), worker)
    row = stack.wait_row("worker1", status="alive", serving=True)
    address = stack.inspect("worker1")["NetworkSettings"]["Networks"][stack.network("workers")]["IPAddress"]
    assert row["host"] == address


def test_a_killed_manager_comes_back_and_nobody_is_announced_down(stack, listener):
    stack.compose("kill", "manager")
    stack.compose("start", "manager")
    stack.wait_four_alive()
    # What is heard last proves that what was not heard before was not said.
    stack.compose("stop", "worker1")
    wait_for("the sentinel", lambda: ("server:down", "worker1") in listener.heard())
    assert [worker for channel, worker in listener.heard() if channel == "server:down"] == ["worker1"]
    stack.compose("start", "worker1")
    wait_for("its recovery", lambda: ("server:recovery", "worker1") in listener.heard())


def test_a_stopped_manager_tells_its_workers_that_it_will_be_back(stack):
    stack.compose("stop", "manager")
    assert stack.inspect("manager")["State"]["ExitCode"] == 0
    for worker in WORKERS:
        wait_for(f"{worker} was closed with 1012", lambda: "code=1012" in stack.logs(worker))
    assert sorted(stack.hash()) == WORKERS
    stack.compose("start", "manager")


def test_redis_killed_and_started_empty(stack):
    stack.compose("kill", "redis")
    wait_for("the manager says so", lambda: stack.get("/readyz").status_code == 503)
    with stack.meanwhile("kill", "worker3"):
        stack.wait_row("worker3", status="disconnected")
    stack.compose("start", "worker3")
    stack.compose("rm", "--force", "redis")
    stack.compose("up", "-d", "--no-deps", "redis")
    wait_for("the manager is in step", lambda: stack.get("/readyz").status_code == 200)
    stack.wait_four_alive()

    def statuses():
        return {worker: row["status"] for worker, row in stack.hash().items()}

    wait_for("the hash is whole", lambda: statuses() == dict.fromkeys(WORKERS, "alive"))


def test_the_fleet_scales_and_each_has_its_own_id(stack):
    stack.compose("--profile", "fleet", "up", "-d", "--no-recreate", "--scale", "worker=3")

    def all_alive():
        rows = stack.rows()
        return rows if len(rows) == 7 and {row["status"] for row in rows.values()} == {"alive"} else None

    rows = wait_for("seven rows, all alive", all_alive)
    stack.compose("--profile", "fleet", "rm", "--force", "--stop", "worker")
    for worker in set(rows) - set(WORKERS):
        assert stack.delete(f"/workers/{worker}").status_code == 200
