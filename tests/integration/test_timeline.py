"""GET /workers/<id>/timeline: what happened to a worker, why, and what was seen."""
import json
import os

import pytest

from clients import Peer
from listener import serve, stream_of
from waiting import wait_for

MEMBERS = {"at", "status", "previous", "reason", "serving", "ready", "health", "evidence", "epoch", "seq"}
MOST = 128
PROTOCOL = os.path.join(os.path.dirname(__file__), "../../proto/wire/PROTOCOL.md")


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=1, DISCONNECT_GRACE=0.2)


def timeline(manager, worker="w1"):
    answer = manager.get(f"/workers/{worker}/timeline")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"worker_id", "transitions"} and body["worker_id"] == worker
    transitions = body["transitions"]
    for entry in transitions:
        assert MEMBERS <= set(entry) <= MEMBERS | {"announced", "draining", "maintenance"}
        assert set(entry["evidence"]) <= {"silence", "close_code", "poll_code"}
    order = [(entry["epoch"], entry["seq"]) for entry in transitions]
    assert order == sorted(set(order))
    assert [entry["at"] for entry in transitions] == sorted(entry["at"] for entry in transitions)
    return transitions


def told(transitions):
    return [(entry["previous"], entry["status"], entry["reason"], entry["serving"], entry.get("announced"))
            for entry in transitions]


def test_the_life_of_a_killed_worker(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=3, DISCONNECT_GRACE=2)
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=0.2)
    manager.wait_row("w1", status="alive", serving=True)
    worker.kill()
    manager.wait_row("w1", status="not_responding")
    transitions = timeline(manager)
    assert told(transitions) == [
        ("unknown", "registered", "registered", False, None),
        ("registered", "connected", "socket_opened", False, None),
        ("connected", "alive", "beat", True, "server:up"),
        ("alive", "disconnected", "connection_closed", True, None),  # held for the grace, but nobody listens there
        ("disconnected", "disconnected", "probe_refused", False, "server:down"),
        ("disconnected", "not_responding", "connection_closed", False, None)]
    closed, silent = transitions[3]["evidence"], transitions[5]["evidence"]
    assert closed["close_code"] == 1006 and closed["silence"] < 1
    assert silent["silence"] > 3
    assert "close_code" not in transitions[2]["evidence"]


def test_it_looks_as_the_protocol_says(manager):
    with open(PROTOCOL, encoding="utf-8") as protocol:
        example, = [json.loads(line) for line in protocol if line.startswith('{"worker_id":"worker-0001","transitions":')]
    peer = serve(manager, "w1")  # and then it is silent
    manager.wait_row("w1", status="not_responding")
    example, entry = example["transitions"][0], timeline(manager)[-1]
    assert list(entry) == list(example)
    assert entry == {**example, **{member: entry[member] for member in ("at", "evidence", "epoch", "seq")}}
    assert list(entry["evidence"]) == list(example["evidence"])
    assert 1 < entry["evidence"]["silence"] < 60
    peer.vanish()


def test_it_agrees_with_the_stream_and_the_row(manager, redis_server):
    peer = serve(manager, "w1")
    manager.wait_row("w1", status="alive")
    peer.goodbye()
    row = manager.wait_row("w1", status="not_responding")
    transitions = timeline(manager)
    wait_for("the stream has them all", lambda: len(stream_of(redis_server)) == len(transitions))
    for entry, (_, event) in zip(transitions, stream_of(redis_server)):
        for member in ("at", "status", "previous", "reason", "serving", "ready", "health", "epoch", "seq"):
            assert entry[member] == event[member], member
    assert (transitions[-1]["epoch"], transitions[-1]["seq"]) == (row["epoch"], row["seq"])


def test_a_goodbye_and_its_code(manager):
    serve(manager, "w1").goodbye(1001)
    manager.wait_row("w1", status="disconnected")
    gone = [entry for entry in timeline(manager) if entry["reason"] == "goodbye"][0]
    assert gone["evidence"]["close_code"] == 1001
    assert gone["announced"] == "server:down"


def test_maintenance_and_draining_are_in_it(manager):
    peer = serve(manager, "w1")
    manager.wait_row("w1", serving=True)
    manager.post("/workers/w1/maintenance", {"ttl": 3600})
    peer.beat(status="draining")
    manager.wait_row("w1", draining=True)
    manager.delete("/workers/w1/maintenance")
    flags = [(entry["reason"], entry.get("maintenance", False), entry.get("draining", False), entry.get("announced"))
             for entry in timeline(manager)[3:]]
    assert flags == [("maintenance", True, False, "server:down"), ("draining", True, True, None),
                     ("maintenance", False, True, None)]
    peer.goodbye()


def test_the_last_ones_are_kept(manager):
    peer = serve(manager, "w1")
    for _ in range(MOST):
        peer.beat(status="draining")
        peer.beat(status="alive")
    last = manager.wait_row("w1", seq=3 + 2 * MOST)
    transitions = timeline(manager)
    assert [entry["seq"] for entry in transitions] == list(range(last["seq"] - MOST + 1, last["seq"] + 1))
    assert {entry["reason"] for entry in transitions} == {"draining", "beat"}
    peer.goodbye()


def test_others_do_not_show(manager):
    serve(manager, "w1").goodbye()
    serve(manager, "w2").goodbye()
    manager.wait_row("w2", status="disconnected")
    seqs = [entry["seq"] for worker in ("w1", "w2") for entry in timeline(manager, worker)]
    assert len(seqs) == len(set(seqs))


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/workers/nobody/timeline", 404), ("GET", "/workers/a%20b/timeline", 422), ("POST", "/workers/w1/timeline", 405),
    ("DELETE", "/workers/w1/timeline", 405), ("GET", "/workers/w1/timelines", 404)])
def test_where_it_is_not(manager, method, path, status):
    manager.register("w1")
    answer = manager.http.request(method, manager.url + path, timeout=10)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"


def test_a_removed_worker_begins_anew(manager):
    serve(manager, "w1").goodbye()
    manager.delete("/workers/w1")
    assert manager.get("/workers/w1/timeline").status_code == 404
    peer = Peer(manager, "w2")
    manager.register("w1")
    assert told(timeline(manager)) == [("unknown", "registered", "registered", False, None)]
    peer.goodbye()
