"""Out of traffic without a change of status: begun and ended by an operator, by time, and across a restart."""
import json
import os
from datetime import datetime, timedelta

import pytest

from clients import RawHttp, request
from listener import Listener, serve
from waiting import wait_for

PROTOCOL = os.path.join(os.path.dirname(__file__), "../../proto/wire/PROTOCOL.md")
CHANNELS_OF_ONE = ["server:up", "server:down", "server:recovery"]


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)


@pytest.fixture
def listener(redis_server, manager):
    return Listener(redis_server)


@pytest.fixture
def peer(manager, listener):
    peer = serve(manager, "w1")
    listener.wait_channel("server:up", "w1")
    yield peer
    peer.vanish()


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def stored(redis_server, worker="w1"):
    return json.loads(redis_server.hash()[worker])


def all_heard(manager, listener, worker="w2"):
    """Events keep their order: when those of another worker are heard, all before have been."""
    serve(manager, worker).goodbye()
    listener.wait_channel("server:up", worker)
    return listener.channels("w1")


def test_the_operator_begins_and_ends_it(manager, listener, peer, redis_server):
    answer = manager.post("/workers/w1/maintenance", {"ttl": 3600, "reason": "a new disk"})
    assert answer.status_code == 200, answer.text
    down, = listener.wait_channel("server:down", "w1")
    assert (down["reason"], down["status"], down["previous"], down["serving"]) == ("maintenance", "alive", "alive", False)

    row = stored(redis_server)
    assert row == manager.row("w1")
    assert (row["status"], row["serving"], row["announced"], row["maintenance"]) == ("alive", False, "down", True)
    assert row["maintenance_reason"] == "a new disk"
    assert answer.json() == {"status": "success", "worker_id": "w1", "maintenance": True, "maintenance_reason": "a new disk",
                             "maintenance_until": row["maintenance_until"]}
    assert abs((at(row["maintenance_until"]) - at(down["at"])).total_seconds() - 3600) < 0.001

    peer.beat(status="alive")
    peer.beat(status="draining")
    peer.beat(status="alive")
    assert all_heard(manager, listener) == CHANNELS_OF_ONE[:2], "its beats change nothing"

    answer = manager.delete("/workers/w1/maintenance")
    assert answer.status_code == 200
    assert answer.json() == {"status": "success", "worker_id": "w1", "maintenance": False}
    recovery, = listener.wait_channel("server:recovery", "w1")
    assert (recovery["reason"], recovery["status"], recovery["serving"]) == ("maintenance", "alive", True)
    row = manager.row("w1")
    assert row["serving"] and not {"maintenance", "maintenance_until", "maintenance_reason"} & set(row)
    assert all_heard(manager, listener, "w3") == CHANNELS_OF_ONE


def test_the_answer_looks_as_the_protocol_says(manager, peer):
    with open(PROTOCOL, encoding="utf-8") as protocol:
        example, = [json.loads(line) for line in protocol if line.startswith('{"status":"success","worker_id":"billing","main')]
    answer = manager.post("/workers/w1/maintenance", {"ttl": 600, "reason": example["maintenance_reason"]}).json()
    assert list(answer) == list(example)
    assert answer == {**example, "worker_id": "w1", "maintenance_until": answer["maintenance_until"]}


def test_it_ends_by_itself(manager, listener, peer, redis_server):
    assert manager.post("/workers/w1/maintenance", {"ttl": 1}).status_code == 200
    listener.wait_channel("server:down", "w1")
    row = stored(redis_server)
    assert row["maintenance"] and "maintenance_reason" not in row
    recovery, = listener.wait_channel("server:recovery", "w1")
    assert recovery["reason"] == "maintenance"
    rounding = timedelta(milliseconds=1)  # of two clocks, each in whole milliseconds
    assert at(recovery["at"]) >= at(row["maintenance_until"]) - rounding, "not early"
    assert all_heard(manager, listener) == CHANNELS_OF_ONE
    assert "maintenance" not in manager.row("w1")


def test_again_replaces_time_and_reason(manager, listener, peer):
    manager.post("/workers/w1/maintenance", {"ttl": 1, "reason": "short"})
    answer = manager.post("/workers/w1/maintenance", {"ttl": 3600})
    assert "maintenance_reason" not in answer.json()
    answer = manager.post("/workers/w1/maintenance", {"ttl": 2, "reason": "sooner after all"})
    assert answer.json()["maintenance_reason"] == "sooner after all"
    listener.wait_channel("server:recovery", "w1")
    assert all_heard(manager, listener) == CHANNELS_OF_ONE


def test_the_least_said_is_the_longest_time(manager, peer):
    for body in (None, {}, {"reason": None, "ttl": None}):
        before = datetime.fromisoformat(manager.row("w1")["last_heartbeat"].replace("Z", "+00:00"))
        answer = manager.post("/workers/w1/maintenance", body)
        assert answer.status_code == 200, answer.text
        assert 86399 < (at(answer.json()["maintenance_until"]) - before).total_seconds() < 86400 + 3600


def test_a_restart_does_not_end_it(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60)
    listener = Listener(redis_server)
    peer = serve(manager, "w1")
    listener.wait_channel("server:up", "w1")
    serve(manager, "w2").vanish()
    until = {}
    for worker, ttl in (("w1", 86400), ("w2", 3)):
        answer = manager.post(f"/workers/{worker}/maintenance", {"ttl": ttl, "reason": "moving"})
        until[worker] = answer.json()["maintenance_until"]
        wait_for("Redis has it", lambda worker=worker: stored(redis_server, worker).get("maintenance"))
    manager.stop()
    peer.vanish()

    manager.start().wait_answer("/readyz")
    peer = serve(manager, "w1")
    row = manager.wait_row("w1", status="alive", serving=False, maintenance=True, maintenance_reason="moving")
    assert row["maintenance_until"] == until["w1"], "a moment, not a duration that begins anew"
    # Its end came while nobody was there, or comes now.
    row = wait_for("the short one is over", lambda: "maintenance" not in manager.row("w2") and manager.row("w2"))
    assert "maintenance_until" not in row
    assert manager.row("w1")["maintenance"]

    manager.delete("/workers/w1/maintenance")
    listener.wait_channel("server:recovery", "w1")
    assert [channel for channel in listener.channels("w1")] == CHANNELS_OF_ONE
    peer.vanish()


def test_without_redis_it_works_all_the_same(scene):
    manager = scene.manager(HEARTBEAT_TIMEOUT=60)
    peer = serve(manager, "w1")
    manager.wait_row("w1", serving=True)
    manager.post("/workers/w1/maintenance", {"ttl": 1})
    manager.wait_row("w1", serving=False, maintenance=True)
    manager.wait_row("w1", serving=True)
    peer.goodbye()


def test_it_does_not_hide_that_a_worker_dies(manager, listener, peer):
    manager.post("/workers/w1/maintenance", {"ttl": 3600})
    listener.wait_channel("server:down", "w1")
    peer.goodbye()
    manager.wait_row("w1", status="disconnected", maintenance=True)
    manager.delete("/workers/w1/maintenance")
    row = manager.row("w1")
    assert row["status"] == "disconnected" and not row["serving"], "what is not there does not come back to traffic"
    assert all_heard(manager, listener) == CHANNELS_OF_ONE[:2]


def test_one_that_never_served_is_not_announced(manager, listener):
    manager.register("w1")
    manager.post("/workers/w1/maintenance", {"ttl": 3600})
    peer = serve(manager, "w1")
    manager.wait_row("w1", status="alive", serving=False, announced="none")
    assert all_heard(manager, listener) == []
    manager.delete("/workers/w1/maintenance")
    listener.wait_channel("server:up", "w1")
    peer.goodbye()


def test_ending_what_has_not_begun(manager, listener, peer):
    before = manager.row("w1")["seq"]
    assert manager.delete("/workers/w1/maintenance").json() == {"status": "success", "worker_id": "w1", "maintenance": False}
    assert manager.row("w1")["seq"] == before
    assert all_heard(manager, listener) == CHANNELS_OF_ONE[:1]


BAD = [
    (b'{"ttl":0}', 422, "ttl"), (b'{"ttl":-1}', 422, "ttl"), (b'{"ttl":0.09}', 422, "ttl"), (b'{"ttl":86400.001}', 422, "ttl"),
    (b'{"ttl":86401}', 422, "ttl"), (b'{"ttl":1e300}', 422, "ttl"), (b'{"ttl":"60"}', 422, "ttl"), (b'{"ttl":true}', 422, "ttl"),
    (b'{"ttl":[1]}', 422, "ttl"), (b'{"reason":5}', 422, "reason"), (b'{"reason":""}', 422, "reason"),
    (b'{"reason":"bell \\u0007"}', 422, "reason"), (b'{"reason":"' + b"r" * 129 + b'"}', 422, "reason"),
    (b'{"reason":{}}', 422, "reason"), (b"[]", 422, ""), (b"null", 422, ""), (b"5", 422, ""), (b"{", 400, ""), (b"ttl=5", 400, ""),
    (b'{"ttl":5,"ttl":6}', 400, ""), (b'{"ttl":NaN}', 400, ""), (b'{"reason":"\xff"}', 400, ""),
]


@pytest.fixture(scope="module")
def idle(module_scene):
    manager = module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=60)
    manager.register("w1")
    return manager


@pytest.mark.parametrize("body, status, member", BAD)
def test_each_bad_body_has_its_sentence(idle, body, status, member):
    before = idle.row("w1")
    with RawHttp(idle) as http:
        http.send(request("POST", "/workers/w1/maintenance", body))
        answer = http.answer()
    assert answer.status == status, answer
    error = json.loads(answer.body)
    assert set(error) == {"status", "error"} and error["status"] == "error"
    assert error["error"].startswith(f"{member}: " if member else "") and "\n" not in error["error"]
    assert idle.row("w1") == before


@pytest.mark.parametrize("body", [b'{"ttl":0.1}', b'{"ttl":86400}', b'{"ttl":1.5,"more":"ignored"}',
                                  b'{"reason":"' + b"r" * 128 + b'"}'])
def test_the_bounds_themselves(idle, body):
    with RawHttp(idle) as http:
        http.send(request("POST", "/workers/w1/maintenance", body))
        assert http.answer().status == 200
    assert idle.delete("/workers/w1/maintenance").status_code == 200


@pytest.mark.parametrize("method, path, status", [
    ("POST", "/workers/nobody/maintenance", 404), ("DELETE", "/workers/nobody/maintenance", 404),
    ("POST", "/workers/a%20b/maintenance", 422), ("GET", "/workers/w1/maintenance", 405),
    ("PUT", "/workers/w1/maintenance", 405), ("POST", "/workers/w1/maintenance/", 404)])
def test_where_it_is_not(idle, method, path, status):
    with RawHttp(idle) as http:
        http.send(request(method, path))
        answer = http.answer()
    assert answer.status == status
    if status == 405:
        assert answer.headers["allow"] == "POST, DELETE"


def test_a_page_of_somebody_else_may_not(idle):
    for method in ("POST", "DELETE"):
        with RawHttp(idle) as http:
            http.send(request(method, "/workers/w1/maintenance", b"", {"Origin": "http://elsewhere.example"}))
            assert http.answer().status == 403
    with RawHttp(idle) as http:
        http.send(request("POST", "/workers/w1/maintenance", b"ttl=60", {"Content-Type": "application/x-www-form-urlencoded"}))
        assert http.answer().status == 415
