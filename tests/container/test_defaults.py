"""The story of the README with no variable set: start, look, kill one, watch it flip."""
import time

import pytest

from stack import WORKERS, wall_s
from waiting import wait_for

DEFAULT_TIMEOUT_S = 15
CLOCK_SLACK_S = 0.1  # the manager counts on another clock than the one whose times it shows


@pytest.fixture(scope="module")
def stack(started_stack):
    return started_stack("defaults")


def test_four_workers_are_alive_where_others_can_reach_them(stack):
    rows = stack.rows()
    assert sorted(rows) == WORKERS
    for worker, row in rows.items():
        container = stack.inspect(worker)
        assert row["host"] == container["NetworkSettings"]["Networks"][stack.network("workers")]["IPAddress"]
        assert row["port"] == 8001
        assert row["heartbeat_timeout"] == DEFAULT_TIMEOUT_S
        assert row["manager"] == "manager"


def test_the_hash_can_be_read_without_a_password(stack):
    assert sorted(stack.hash()) == WORKERS
    assert {row["status"] for row in stack.hash().values()} == {"alive"}


@pytest.mark.parametrize("command", ["HSET workers worker1 {}", "DEL workers", "PUBLISH server:down {}", "FLUSHALL",
                                     "CONFIG GET *", "ACL LIST", "GET another:key", "SUBSCRIBE another",
                                     "XADD workers:events * event {}"])
def test_without_a_password_redis_only_lets_read(stack, command):
    assert stack.redis(*command.split()).startswith("NOPERM")


def test_every_container_is_locked_in(stack):
    for service in ["redis", "manager", *WORKERS]:
        container = stack.inspect(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["Init"] and host["RestartPolicy"]["Name"] == "unless-stopped", service
        assert container["Config"]["User"] not in ("", "0", "root"), service
        published = [binding for bindings in (host["PortBindings"] or {}).values() for binding in bindings]
        expected = [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}] if service == "manager" else []
        assert published == expected, service


def test_every_container_becomes_healthy(stack):
    for service in ["redis", "manager", *WORKERS]:
        wait_for(f"{service} is healthy", lambda: stack.inspect(service)["State"]["Health"]["Status"] == "healthy")


def test_workers_cannot_reach_redis(stack):
    networks = {service: set(stack.inspect(service)["NetworkSettings"]["Networks"]) for service in ("redis", "worker1")}
    assert not networks["redis"] & networks["worker1"]


def test_a_killed_worker_flips(stack, figure):
    asked_at = time.time()
    with stack.meanwhile("kill", "worker2"):
        row = stack.wait_row("worker2", status="disconnected")
    assert row["reason"] in ("connection_closed", "probe_refused")  # the latter as soon as its address was asked
    figure(wall_s(row["since"]) - asked_at, "s", "docker-compose kill, itself included, to disconnected")
    stack.wait_hash("worker2", "disconnected")
    row = stack.wait_row("worker2", status="not_responding")
    silent_s = wall_s(row["since"]) - wall_s(row["last_heartbeat"])
    figure(silent_s, "s", f"last beat to not_responding, with the default timeout of {DEFAULT_TIMEOUT_S} s")
    assert silent_s > DEFAULT_TIMEOUT_S - CLOCK_SLACK_S
    stack.wait_hash("worker2", "not_responding")
    assert {worker for worker, row in stack.rows().items() if row["status"] == "alive"} == set(WORKERS) - {"worker2"}


def test_a_stop_of_everything_is_quick_and_clean(stack, figure):
    stack.compose("start", "worker2")
    stack.wait_four_alive()
    stack.compose("stop")
    for service in ["redis", "manager", "worker1"]:
        (asked_at, _), (ended_at, _) = stack.events(service, "kill", "die")[-2:]
        figure(ended_at - asked_at, "s", f"SIGTERM to the end of {service}")
    codes = {service: stack.inspect(service)["State"]["ExitCode"] for service in ["redis", "manager", *WORKERS]}
    assert set(codes.values()) == {0}, codes  # 137 would be docker's patience at its end
    assert "loop_close=0" in stack.logs("manager")
