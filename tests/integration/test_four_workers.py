"""The story of the README: four workers come up, all can see them, one is killed and all can see that."""
import json

import pytest

from waiting import wait_for

WORKERS = ["w1", "w2", "w3", "w4"]


@pytest.fixture
def manager(scene, redis_server):
    # Beats are rare here, so that rows stand still long enough to be compared byte by byte.
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=120)


@pytest.fixture
def workers(scene, manager):
    started = {worker: scene.worker(manager, worker, HEARTBEAT_INTERVAL=30) for worker in WORKERS}
    for worker in WORKERS:
        manager.wait_row(worker, status="alive", serving=True)
    return started


def test_all_are_alive_in_the_list(manager, workers):
    rows = manager.rows()
    assert sorted(rows) == WORKERS
    for worker, row in rows.items():
        assert row["worker_id"] == worker
        assert row["worker_name"] == f"Worker {worker}"
        assert row["host"] == "127.0.0.1"
        assert row["port"] == workers[worker].port
        assert row["announced"] == "up"
        assert row["manager"] == "m1"
        assert row["heartbeat_timeout"] == 120
        assert list(row)[:6] == ["worker_id", "worker_name", "host", "port", "status", "last_heartbeat"]


def test_the_hash_and_the_list_are_the_same_bytes(manager, workers, redis_server):
    def same_bytes():
        stored, listed = redis_server.hash(), manager.get("/workers").text
        return sorted(stored) == WORKERS and all(f'"{worker}":{row}' in listed for worker, row in stored.items())

    wait_for("GET /workers holds exactly the bytes of the hash", same_bytes)

    def one_row_same():
        return all(manager.get(f"/workers/{worker}").text.strip() == row for worker, row in redis_server.hash().items())

    wait_for("GET /workers/<id> gives exactly the bytes of the field", one_row_same)


def test_a_killed_worker_flips_and_the_others_stay(manager, workers, redis_server):
    workers["w2"].kill()
    row = manager.wait_row("w2", status="disconnected")
    assert row["reason"] in ("connection_closed", "probe_refused")  # the latter as soon as its address was asked
    wait_for("the hash says so too", lambda: json.loads(redis_server.hash()["w2"])["status"] == "disconnected")
    assert {worker: row["status"] for worker, row in manager.rows().items() if worker != "w2"} == {
        "w1": "alive", "w3": "alive", "w4": "alive"}


def test_the_worker_is_a_small_http_service(manager, workers):
    worker = workers["w1"]
    assert worker.get("/").json()["status"] == "running"
    assert worker.get("/ping").text.strip().strip('"') == "pong"
    health = worker.get("/health")
    assert health.status_code == 200
    assert health.json()["status"] == "healthy"
    assert health.json()["worker_id"] == "w1"
    assert worker.get("/any/other/path").json()["worker_id"] == "w1"
    assert worker.get("/", method="POST").status_code == 405
