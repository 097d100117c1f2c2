"""TARGETS_FILE: services that never register are known and polled from the start."""
import json
import os
import re
import subprocess

import pytest

from little_service import LittleService
from listener import Listener
from processes import binary, free_port
from waiting import wait_for

FAST = {"POLL_INTERVAL": 0.1, "POLL_FAST_INTERVAL": 0.05}


def write_targets(directory, *entries):
    path = directory / "targets.json"
    path.write_text(json.dumps({"server_list": list(entries)}), encoding="utf-8")
    return str(path)


def check_config(path, **env):
    """The manager's own look at it, and the refusal to start with it: both must say the same."""
    env = {"PATH": os.environ["PATH"], "MANAGER_PORT": str(free_port()), "REDIS_PORT": str(free_port()),
           "TARGETS_FILE": str(path), **env}
    looked, started = (subprocess.run([binary("heartbeat-manager"), *flags], env=env, capture_output=True, text=True,
                                      timeout=60, check=False) for flags in (["--check-config"], []))
    assert (looked.returncode, looked.stderr) == (started.returncode, started.stderr)
    return looked


def test_they_are_polled_from_the_start(scene, tmp_path):
    redis_server = scene.redis()
    with LittleService() as first, LittleService(status=503) as second:
        path = write_targets(tmp_path, {"id": 1, "host": "127.0.0.1", "port": first.port},
                             {"id": "2", "host": "127.0.0.1", "port": str(second.port), "attributes": {"zone": "eu"}},
                             {"id": 3, "url": f"tcp://127.0.0.1:{first.port}", "name": "Door"},
                             {"id": "pinged", "url": f"http://127.0.0.1:{first.port}/ping"})
        manager = scene.manager(redis_server, TARGETS_FILE=path, **FAST)
        row = manager.wait_row("1", serving=True)
        assert (row["worker_name"], row["host"], row["port"]) == ("server1", "127.0.0.1", first.port)
        assert (row["status"], row["ready"], row["health"]) == ("alive", True, "healthy")
        row = manager.wait_row("2", health="unhealthy")
        assert (row["serving"], row["ready"], row["worker_name"], row["attributes"]) == (False, False, "server2", {"zone": "eu"})
        assert manager.wait_row("3", serving=True)["worker_name"] == "Door"
        assert manager.wait_row("pinged", serving=True)["worker_name"] == "pinged"
        assert {"/health", "/ping"} == set(first.asked)
        assert manager.events("targets_read", count="4")


def test_a_restart_is_not_heard(scene, tmp_path):
    """The file's entries are there before the load: what Redis says of them joins, and nobody is told anything twice."""
    redis_server = scene.redis()
    listener = Listener(redis_server)
    with LittleService() as service:
        path = write_targets(tmp_path, {"id": 1, "host": "127.0.0.1", "port": service.port})
        manager = scene.manager(redis_server, TARGETS_FILE=path, **FAST)
        manager.wait_row("1", serving=True)
        listener.wait_channel("server:up", "1")
        manager.stop()
        redis_server.client.client_pause(300)  # polls would be faster than the rows
        again = scene.manager(redis_server, TARGETS_FILE=path, **FAST)
        row = again.wait_row("1", serving=True, health="healthy")
        assert row["announced"] == "up" and "unverified" not in row
        service.status = 500
        again.wait_row("1", serving=False)
        listener.wait_channel("server:down", "1")
        assert listener.channels("1") == ["server:up", "server:down"]


def test_they_are_polled_without_redis(scene, tmp_path):
    with LittleService() as service:
        path = write_targets(tmp_path, {"id": 1, "host": "127.0.0.1", "port": service.port})
        scene.manager(TARGETS_FILE=path, **FAST).wait_row("1", serving=True, health="healthy")


def test_it_is_removed_and_comes_back_with_the_next_start(scene, tmp_path):
    redis_server = scene.redis()
    path = write_targets(tmp_path, {"id": 1, "host": "127.0.0.1", "port": free_port()})
    manager = scene.manager(redis_server, TARGETS_FILE=path, **FAST)
    assert manager.delete("/workers/1").status_code == 200
    assert manager.row("1") is None
    wait_for("Redis has dropped it", lambda: not redis_server.client.hexists("workers", "1"))
    manager.stop()
    again = scene.manager(redis_server, TARGETS_FILE=path, **FAST)
    again.wait_row("1", health="dead")


def test_it_is_never_reaped(scene, tmp_path):
    """One like it that registered by itself is gone by then."""
    path = write_targets(tmp_path, {"id": 1, "host": "127.0.0.1", "port": free_port()})
    manager = scene.manager(TARGETS_FILE=path, HEARTBEAT_TIMEOUT=0.2, REAP_AFTER=0.4, **FAST)
    manager.post("/register", {"id": "2", "url": f"http://127.0.0.1:{free_port()}"})
    manager.wait_row("2")
    wait_for("the other one is gone", lambda: manager.row("2") is None)
    manager.wait_row("1", health="dead")


@pytest.mark.parametrize("content, line, reason", [
    ("", 1, "not JSON"),
    ('{"server_list":[\n  {"id":1,"host":"127.0.0.1","port":5001},\n]}', 3, "a value is expected"),
    ('{"server_list":[\n{"id":1,"host":"127.0.0.1","port":5001},\n{"id":2,"host":"127.0.0.1","port":"x"}]}', 3, "port"),
    ('{"server_list":[\n{"id":1,"host":"a","port":1},\n{"id":"1","host":"a","port":1}]}', 3, "entry 1 in line 2 already"),
    ('{"servers":[]}', 1, "server_list"),
])
def test_a_bad_file_is_refused(tmp_path, content, line, reason):
    path = tmp_path / "targets.json"
    path.write_text(content, encoding="utf-8")
    result = check_config(path)
    assert result.returncode == 78
    sentence, = [text for text in result.stderr.splitlines() if "TARGETS_FILE" in text]
    assert f"{path}: line {line}: " in sentence and reason in sentence


def test_every_bad_entry_is_named(tmp_path):
    path = tmp_path / "targets.json"
    path.write_text('{"server_list":[{"id":1},\n{"id":"a b"},\n{"id":3,"url":"http://a"},\n7]}', encoding="utf-8")
    result = check_config(path)
    assert result.returncode == 78
    assert re.findall(r"line (\d): entry (\d)", result.stderr) == [("1", "1"), ("2", "2"), ("4", "4")]


def test_too_many_entries(tmp_path):
    path = write_targets(tmp_path, *({"id": i, "host": "127.0.0.1", "port": 1} for i in range(11)))
    assert check_config(path, MAX_WORKERS="10").returncode == 78
    good = subprocess.run([binary("heartbeat-manager"), "--check-config"], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "TARGETS_FILE": path, "MAX_WORKERS": "11"}, check=False)
    assert good.returncode == 0, good.stderr


@pytest.mark.parametrize("place", ["none.json", "none/targets.json", "."])
def test_a_file_that_is_not_there(tmp_path, place):
    result = check_config(tmp_path / place)
    assert result.returncode == 78
    assert "TARGETS_FILE" in result.stderr and str(tmp_path) in result.stderr


def test_a_health_probe_does_not_look_into_it(scene, tmp_path):
    """A file that was spoilt after the start is no reason to call the manager that runs unhealthy."""
    path = write_targets(tmp_path)
    manager = scene.manager(TARGETS_FILE=path)
    with open(path, "w", encoding="utf-8") as spoilt:
        spoilt.write("{")
    probe = subprocess.run([*manager.argv, "--health"], env=manager.env, capture_output=True, text=True, timeout=60, check=False)
    assert probe.returncode == 0, probe.stderr
