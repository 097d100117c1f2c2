"""HEALTH_STATUS_FILE: the state in a file, for who reads files."""
import json
import os
import stat
import subprocess
import threading

import pytest

from clients import Peer
from little_service import LittleService
from processes import binary, free_port
from waiting import stopwatch, wait_for

FAST = {"POLL_INTERVAL": 0.1, "POLL_FAST_INTERVAL": 0.05, "POLL_FALL": 1, "POLL_RISE": 1}


def targets(directory, *services):
    path = directory / "targets.json"
    path.write_text(json.dumps({"server_list": [{"id": i, "host": "127.0.0.1", "port": service.port}
                                                for i, service in enumerate(services, 1)]}), encoding="utf-8")
    return str(path)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def wait_says(path, **expected):
    return wait_for(f"{path.name} says {expected}", lambda: path.exists() and read(path) == expected)


def test_it_says_who_serves(scene, tmp_path):
    status = tmp_path / "health_status.json"
    with LittleService() as first, LittleService(status=500) as second:
        manager = scene.manager(TARGETS_FILE=targets(tmp_path, first, second), HEALTH_STATUS_FILE=status, **FAST)
        wait_says(status, server1=True, server2=False)
        second.status = 200
        wait_says(status, server1=True, server2=True)
        first.stop()
        wait_says(status, server1=False, server2=True)
        assert stat.S_IMODE(status.stat().st_mode) == 0o644
        # beating workers too, under their names
        manager.register("w1", worker_name="Worker \"1\"")
        peer = Peer(manager, "w1")
        peer.beat(status="alive")
        wait_for("the worker is in it", lambda: read(status) == {"server1": False, "server2": True, "Worker \"1\"": True})
        manager.delete("/workers/w1")
        wait_says(status, server1=False, server2=True)
        assert os.listdir(tmp_path).count("health_status.json") == 1
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_reader_never_sees_half_of_it(scene, tmp_path):
    """While it changes as fast as it may, whoever opens it finds a whole object with everybody in it."""
    status = tmp_path / "health_status.json"
    manager = scene.manager(HEALTH_STATUS_FILE=status)
    names = [f"worker-{i:03d}" for i in range(300)]
    for name in names:
        manager.register(name)
    wait_for("all are in it", lambda: status.exists() and len(read(status)) == len(names))
    over, faults, seen = threading.Event(), [], set()

    def watch():
        while not over.is_set():
            text = status.read_text(encoding="utf-8")
            try:
                rows = json.loads(text)
            except ValueError:
                faults.append(text)
                return
            if sorted(rows) != names:
                faults.append(text)
            seen.add(text)

    reader = threading.Thread(target=watch)
    reader.start()
    for name in names:
        manager.post(f"/workers/{name}/heartbeat")
    wait_for("all serve", lambda: all(read(status).values()))
    over.set()
    reader.join()
    assert not faults, faults[0][:200]
    assert len(seen) > 1, "it was seen changing"


def test_the_last_state_gets_there(scene, tmp_path):
    """A change at the very end, with the stop right behind it."""
    status = tmp_path / "health_status.json"
    manager = scene.manager(HEALTH_STATUS_FILE=status)
    manager.register("w1")
    wait_says(status, w1=False)
    manager.post("/workers/w1/heartbeat")
    manager.stop()
    assert read(status) == {"w1": True}


def test_a_stop_is_no_state(scene, tmp_path):
    """The manager closes its workers' sockets when it goes; that is not in the file."""
    status = tmp_path / "health_status.json"
    manager = scene.manager(HEALTH_STATUS_FILE=status, DISCONNECT_GRACE=0)
    manager.register("w1")
    peer = Peer(manager, "w1")
    peer.beat(status="alive")
    wait_says(status, w1=True)
    manager.stop()
    assert read(status) == {"w1": True}


def test_a_restart_is_not_seen_in_it(scene, tmp_path):
    redis_server = scene.redis()
    status = tmp_path / "health_status.json"
    with LittleService() as service:
        env = {"TARGETS_FILE": targets(tmp_path, service), "HEALTH_STATUS_FILE": status, **FAST}
        manager = scene.manager(redis_server, **env)
        manager.register("beats")
        manager.post("/workers/beats/heartbeat")
        wait_says(status, server1=True, beats=True)
        manager.stop()
        before = status.stat().st_ino
        again = scene.manager(redis_server, **env)
        again.wait_row("beats", serving=True)
        again.register("new")
        seen = []

        def is_written():
            seen.append(read(status))
            return status.stat().st_ino != before
        wait_for("it is written again", is_written)
        wait_says(status, server1=True, beats=True, new=False)
        assert all(state["server1"] and state["beats"] for state in seen), seen


def test_what_fails_is_said_once_and_tried_again(scene, tmp_path):
    directory = tmp_path / "there"
    directory.mkdir()
    status = directory / "health_status.json"
    manager = scene.manager(HEALTH_STATUS_FILE=status)
    manager.register("w0")
    wait_says(status, w0=False)
    directory.rename(tmp_path / "away")
    count, waited_s = 1, stopwatch()
    while waited_s() < 0.6 or not manager.events("status_file_failed", step="open"):  # time enough for several attempts
        manager.register(f"w{count}")
        count += 1
    (tmp_path / "away").rename(directory)
    manager.register(f"w{count}")
    wait_says(status, **{f"w{i}": False for i in range(count + 1)})
    wait_for("it says so", lambda: manager.events("status_file_recovered"))
    assert len(manager.events("status_file_failed")) == 1


def test_it_is_tried_again_without_a_change(scene, tmp_path):
    directory = tmp_path / "there"
    directory.mkdir()
    status = directory / "health_status.json"
    manager = scene.manager(HEALTH_STATUS_FILE=status, HEARTBEAT_TIMEOUT=86400)
    wait_says(status)
    directory.rename(tmp_path / "away")
    manager.register("w1")
    wait_for("it fails", lambda: manager.events("status_file_failed"))
    (tmp_path / "away").rename(directory)
    wait_says(status, w1=False)


@pytest.mark.parametrize("place, fault", [("none/health_status.json", "No such file or directory"), (".", "must be a file"),
                                          ("file/health_status.json", "Not a directory")])
def test_one_that_cannot_be_written_is_refused(tmp_path, place, fault):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for flags in (["--check-config"], []):
        result = subprocess.run([binary("heartbeat-manager"), *flags], capture_output=True, text=True, timeout=60, check=False,
                                env={"PATH": os.environ["PATH"], "MANAGER_PORT": str(free_port()),
                                     "REDIS_PORT": str(free_port()), "HEALTH_STATUS_FILE": str(tmp_path / place)})
        assert result.returncode == 78
        sentence, = [text for text in result.stderr.splitlines() if "HEALTH_STATUS_FILE" in text]
        assert "must be" in sentence and fault in sentence and str(tmp_path) in sentence


def test_a_manager_that_cannot_listen_writes_nothing(tmp_path, scene):
    manager = scene.manager()
    status = tmp_path / "health_status.json"
    result = subprocess.run(manager.argv, env={**manager.env, "HEALTH_STATUS_FILE": str(status)}, capture_output=True,
                            text=True, timeout=60, check=False)
    assert result.returncode == 69
    assert not status.exists()


@pytest.mark.parametrize("of_targets, of_status", [("t.json", "t.json"), ("s.json.tmp", "s.json")])
def test_the_targets_are_not_written_over(tmp_path, of_targets, of_status):
    (tmp_path / of_targets).write_text('{"server_list":[{"id":1,"host":"127.0.0.1","port":5001}]}')
    result = subprocess.run([binary("heartbeat-manager"), "--check-config"], capture_output=True, text=True, timeout=60,
                            check=False, env={**os.environ, "TARGETS_FILE": str(tmp_path / of_targets),
                                              "HEALTH_STATUS_FILE": str(tmp_path / of_status)})
    assert result.returncode == 78
    assert "another file than TARGETS_FILE" in result.stderr
