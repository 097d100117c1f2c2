"""Clients that exist already, in the words they speak: the small Python project's worker, curl, the Go services."""
import datetime
import json

import pytest
import requests
import websocket

from clients import Peer
from waiting import LIMIT_S, wait_for


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=30)


def python_beat(worker):
    return json.dumps({"timestamp": datetime.datetime.now().isoformat(), "worker_id": worker, "worker_name": "Worker 1",
                       "status": "alive", "metrics": {"cpu": 12.5, "memory": 40.25}})


def test_the_python_worker(manager, redis_server):
    answer = manager.post("/register", {
        "worker_id": "py-1", "worker_name": "Worker 1", "host": "127.0.0.1", "port": 8001, "status": "registering",
        "last_heartbeat": datetime.datetime.now().isoformat()})
    assert answer.status_code == 200
    assert answer.json() == {"status": "success", "worker_id": "py-1", "ws": "/ws/py-1", "heartbeat_timeout": 30,
                             "persisted": True}
    assert manager.row("py-1")["status"] == "registered"
    assert "py-1" in redis_server.hash(), "persisted true means that it is stored"

    ws = websocket.create_connection(f"ws://127.0.0.1:{manager.port}/ws/py-1", timeout=LIMIT_S)
    assert ws.subprotocol is None
    manager.wait_row("py-1", status="connected")
    ws.send(python_beat("py-1"))
    manager.wait_row("py-1", status="alive", serving=True, metrics={"cpu": 12.5, "memory": 40.25})
    seed_fields = {"worker_id", "worker_name", "host", "port", "status", "last_heartbeat"}
    wait_for("the hash has it alive, with the seed's fields",
             lambda: json.loads(redis_server.hash()["py-1"]).items() >= {"status": "alive", "port": 8001}.items()
             and seed_fields <= set(json.loads(redis_server.hash()["py-1"])))
    # The Python project reads last_heartbeat with fromisoformat.
    datetime.datetime.fromisoformat(manager.row("py-1")["last_heartbeat"].replace("Z", "+00:00"))
    ws.close()


def test_registering_twice_is_the_same(manager):
    assert manager.register("w1") == manager.register("w1")
    assert list(manager.rows()) == ["w1"]


def test_a_cron_job_with_curl(manager):
    manager.register("cron", heartbeat_timeout=60)
    assert manager.get("/workers/cron/heartbeat").status_code == 200
    first = manager.wait_row("cron", status="alive", serving=True, heartbeat_timeout=60)
    # curl -X POST sends neither a length nor a body.
    empty = requests.Request("POST", manager.url + "/workers/cron/heartbeat").prepare()
    empty.headers.pop("Content-Length", None)
    assert manager.http.send(empty, timeout=10).status_code == 200
    assert manager.post("/workers/cron/heartbeat", {"status": "alive", "metrics": {"cpu": 1}}).status_code == 200
    row = manager.wait_row("cron", metrics={"cpu": 1})
    assert row["last_heartbeat"] >= first["last_heartbeat"]
    assert row["status"] == "alive"


def test_the_go_shape(manager):
    answer = manager.post("/register", {"id": "svc1", "url": "http://localhost:9001",
                                        "attributes": {"service": "user", "env": "prod"}})
    assert answer.status_code == 200
    assert answer.json()["worker_id"] == "svc1"
    row = manager.row("svc1")
    assert row["url"].startswith("http://localhost:9001")
    assert row["attributes"] == {"service": "user", "env": "prod"}
    assert row["worker_id"] == "svc1"


def test_any_mix_of_both_shapes(manager):
    answer = manager.post("/register", {"id": "mix", "worker_name": "Mixed", "host": "10.1.2.3", "port": 80,
                                        "url": "http://10.1.2.3/health", "attributes": {"zone": 7, "spot": True},
                                        "poll_interval_sec": 5, "heartbeat_interval": 2.5})
    assert answer.status_code == 200, answer.text
    row = manager.row("mix")
    assert (row["worker_name"], row["host"], row["port"]) == ("Mixed", "10.1.2.3", 80)
    assert row["attributes"] == {"zone": 7, "spot": True}


@pytest.mark.parametrize("over", ["websocket", "http"])
def test_an_unknown_id_that_beats_is_registered(manager, over):
    beat = {"worker_name": "Late", "status": "alive"}
    if over == "websocket":
        peer = Peer(manager, "late")
        assert manager.row("late") is None, "a socket that has said nothing is not a worker"
        peer.beat(**beat)
    else:
        assert manager.post("/workers/late/heartbeat", beat).status_code == 200
    row = manager.wait_row("late", status="alive")
    assert row["worker_name"] == "Late"
    assert row["host"] == "127.0.0.1", "its host is the address it called from"
    assert row["port"] is None
    assert row["serving"] is False, "without a port there is nowhere to send traffic"


def test_a_worker_outlives_the_managers_memory(scene, redis_server, manager):
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=0.2)
    manager.wait_row("w1", status="alive")
    manager.kill()
    redis_server.client.flushall()
    manager.start()
    row = manager.wait_row("w1", status="alive", serving=True)
    assert row["port"] == worker.port, "it registers before each connect"


def test_the_root_says_who_it_is(manager):
    answer = manager.get("/")
    assert answer.status_code == 200
    assert {"message", "version"} <= set(answer.json())
    for path in ("/livez", "/healthz", "/readyz"):
        assert manager.get(path).status_code == 200
