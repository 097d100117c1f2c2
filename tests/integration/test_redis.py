"""Redis comes, goes, hangs and forgets; the manager is restarted. Memory is the truth, Redis its mirror: nobody is lost,
nobody is announced down for it, and what is not ours is not touched."""
import datetime
import json

import pytest

from clients import Peer
from listener import Listener, serve, stream_of
from mirrored import wait_whole
from processes import free_port
from waiting import wait_for


def alive(manager, *workers):
    peers = [serve(manager, worker) for worker in workers]
    for worker in workers:
        manager.wait_row(worker, status="alive", serving=True)
    return peers


def test_absent_at_the_start(scene):
    port = free_port()
    manager = scene.manager(REDIS_PORT=port)
    answer = manager.get("/readyz")
    assert answer.status_code == 503
    assert "redis" in answer.text.lower()
    assert manager.register("w1")["persisted"] is False
    peers = alive(manager, "w1", "w2")
    assert manager.get("/livez").status_code == 200

    redis_server = scene.redis(port)
    manager.wait_answer("/readyz")
    wait_whole(manager, redis_server)
    assert manager.register("w3")["persisted"] is True
    seqs = [event["seq"] for _, event in stream_of(redis_server)]
    assert seqs == sorted(set(seqs)) and len(seqs) >= 4, "what happened before Redis came is told in order"
    assert len(peers) == 2


def test_killed_and_back_empty(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)
    peers = alive(manager, "w1", "w2", "w3")
    wait_whole(manager, redis_server)
    redis_server.kill()
    wait_for("readyz says so", lambda: manager.get("/readyz").status_code == 503)
    assert manager.events("redis_disconnected")

    peers[0].vanish()  # detection goes on
    manager.wait_row("w1", status="disconnected")
    assert manager.register("w4")["persisted"] is False

    redis_server.start()
    manager.wait_answer("/readyz")
    wait_whole(manager, redis_server)
    assert json.loads(redis_server.hash()["w1"])["status"] == "disconnected"


def test_flushed(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)
    alive(manager, "w1", "w2")
    wait_whole(manager, redis_server)
    redis_server.client.flushall()
    wait_for("all rows are back", lambda: sorted(redis_server.hash()) == ["w1", "w2"])
    wait_whole(manager, redis_server)
    before = len(stream_of(redis_server))
    alive(manager, "w3")
    wait_for("events flow again", lambda: len(stream_of(redis_server)) > before)


def test_hanging(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)
    alive(manager, "w1")
    redis_server.freeze()
    assert manager.register("w2")["persisted"] is False
    assert sorted(manager.rows()) == ["w1", "w2"]
    wait_for("readyz says so", lambda: manager.get("/readyz").status_code == 503)
    redis_server.thaw()
    manager.wait_answer("/readyz")
    wait_whole(manager, redis_server)
    seqs = [event["seq"] for _, event in stream_of(redis_server)]
    assert seqs == sorted(set(seqs)), "nothing is told twice though replies were lost"


def test_refusing_writes(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)
    listener = Listener(redis_server)
    redis_server.client.config_set("maxmemory", 1)
    peers = alive(manager, "w1")
    wait_for("readyz says so", lambda: manager.get("/readyz").status_code == 503)
    assert listener.channels("w1") == [], "nobody hears of a state that is not stored"
    redis_server.client.config_set("maxmemory", 0)
    manager.wait_answer("/readyz")
    listener.wait_channel("server:up", "w1")
    wait_whole(manager, redis_server)
    assert len(peers) == 1


def test_restart_of_the_manager_under_beating_workers(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=5, DISCONNECT_GRACE=1)
    workers = [f"w{place}" for place in range(4)]
    for worker in workers:
        scene.worker(manager, worker, HEARTBEAT_INTERVAL=0.3)
    for worker in workers:
        manager.wait_row(worker, status="alive", serving=True)
    wait_whole(manager, redis_server)
    epoch = manager.row("w0")["epoch"]
    listener = Listener(redis_server)

    for _ in range(2):
        manager.kill()
        manager.start()
        for worker in workers:
            row = manager.wait_row(worker, status="alive", serving=True, unverified=None)
            assert row["announced"] == "up"
    manager.wait_answer("/readyz")
    # Events keep their order: when that of a newcomer is heard, all before have been.
    serve(manager, "newcomer")
    assert listener.wait_channel("server:up", "newcomer")[0]["epoch"] > epoch
    for worker in workers:
        assert "server:down" not in listener.channels(worker)


def test_who_does_not_come_back_is_told_after_the_grace(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=1, RESTART_GRACE=3)
    alive(manager, "w1")
    wait_for("stored as up", lambda: json.loads(redis_server.hash()["w1"])["announced"] == "up")
    manager.kill()
    listener = Listener(redis_server)
    manager.start()
    manager.wait_row("w1", unverified=True, serving=True)
    row = manager.wait_row("w1", status="not_responding", serving=False, unverified=None)
    assert row["reason"] == "restart_grace"
    down, = listener.wait_channel("server:down", "w1")
    assert down["reason"] == "restart_grace"


@pytest.fixture
def foreign(redis_server):
    fields = {"hello": "world", "list": "[1,2]", "half": '{"worker_id":', "other": '{"a":1,"b":{"c":[]}}', "": "empty name",
              "a b": '{"worker_id":"a b","worker_name":"A","host":"h","port":1,"status":"alive","last_heartbeat":null}'}
    redis_server.client.hset("workers", mapping=fields)
    return fields


def test_what_is_not_ours_is_not_touched(scene, redis_server, foreign):
    manager = scene.manager(redis_server)
    assert manager.rows() == {}
    alive(manager, "w1")
    wait_whole(manager, redis_server, foreign)
    manager.delete("/workers/w1")
    wait_for("w1 is gone from the hash", lambda: "w1" not in redis_server.hash())
    manager.stop()
    manager.start().wait_answer("/readyz")
    assert redis_server.hash() == foreign


def test_rows_of_the_python_project_are_restored(scene, redis_server):
    seed = {"worker_id": "seed-1", "worker_name": "Seed", "host": "10.0.0.7", "port": 8001, "status": "alive",
            "last_heartbeat": datetime.datetime.utcnow().isoformat()}
    redis_server.client.hset("workers", "seed-1", json.dumps(seed))
    redis_server.client.hset("workers", "seed-2", json.dumps({**seed, "worker_id": "seed-2", "status": "not_responding"}))
    others = {"seed-3": json.dumps({**seed, "worker_id": "seed-1"}), "seed-4": json.dumps({**seed, "worker_id": "seed-4",
                                                                                         "status": "confused"})}
    redis_server.client.hset("workers", mapping=others)  # another's row, and a status that nobody has: not for us
    listener = Listener(redis_server)
    manager = scene.manager(redis_server)
    row = manager.wait_row("seed-1", unverified=True)
    assert (row["worker_name"], row["host"], row["port"], row["serving"]) == ("Seed", "10.0.0.7", 8001, True)
    down = manager.row("seed-2")
    assert (down["status"], down["serving"]) == ("not_responding", False)
    assert "unverified" not in down
    peer = Peer(manager, "seed-1")
    peer.beat()
    manager.wait_row("seed-1", status="alive", unverified=None)
    wait_whole(manager, redis_server, others)
    stored = redis_server.hash()
    assert {worker: stored[worker] for worker in others} == others
    assert set(seed) < set(json.loads(stored["seed-1"])), "who read the rows of that project reads ours"
    assert listener.stories() == {}, "nobody had gone, so nobody is announced"
    peer.goodbye()
    down, = listener.wait_channel("server:down", "seed-1")
    assert down["reason"] == "goodbye"


def test_a_password_and_another_database(scene, redis_server):
    redis_server.client.execute_command("ACL", "SETUSER", "hb", "on", ">secret", "~*", "&*", "+@all")
    manager = scene.manager(redis_server, REDIS_USERNAME="hb", REDIS_PASSWORD="secret", REDIS_DB=3)
    manager.register("w1")
    assert redis_server.hash() == {}
    redis_server.client.select(3)
    assert list(redis_server.hash()) == ["w1"]
    assert "secret" not in manager.log()
