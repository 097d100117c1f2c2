"""How each way to stop is seen: killed, frozen, stopped in good order. Verdicts by time are held against the row's own
evidence, never against the clock of this test."""
import datetime

import pytest

from clients import Peer
from listener import serve
from misbehaving import Service, answers
from waiting import stopwatch, wait_for

TIMEOUT_S = 2
# since and last_heartbeat are each rounded to a millisecond, and the wall clock may be slewed between them.
ROUNDING_S = 0.002


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=TIMEOUT_S, DISCONNECT_GRACE=1)


@pytest.fixture
def worker(scene, manager):
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=0.2)
    manager.wait_row("w1", status="alive", serving=True)
    return worker


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def silence_s(row):
    """How long the worker had been silent when its status became what it is."""
    return (moment(row["since"]) - moment(row["last_heartbeat"])).total_seconds()


def assert_not_early(row):
    silence = silence_s(row)
    print(f"not_responding after {silence:.3f} s of silence, timeout {row['heartbeat_timeout']} s")
    assert silence > row["heartbeat_timeout"] - ROUNDING_S


def test_killed(manager, worker, redis_server):
    worker.kill()
    row = manager.wait_row("w1", status="disconnected")
    print(f"disconnected {silence_s(row):.3f} s after the last beat")
    assert row["reason"] in ("connection_closed", "probe_refused"), "nobody listens any more where it was"

    row = manager.wait_row("w1", status="not_responding")
    assert row["reason"] == "connection_closed"
    assert not row["serving"]
    assert_not_early(row)
    wait_for("the hash has the same row", lambda: redis_server.hash()["w1"] == manager.get("/workers/w1").text.strip())


def test_serving_outlives_the_close_by_the_grace_only(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=1)
    with Service(answers(200)) as service:  # its address answers as if nothing had happened
        serve(manager, "w1", service.port).vanish()
        manager.wait_row("w1", status="disconnected", serving=False, announced="down")
        down = manager.get("/workers/w1/timeline").json()["transitions"][-1]
        assert down["reason"] == "connection_closed" and down["evidence"]["silence"] >= 1
        assert len(service.asked) == 1


def test_frozen_and_thawed(manager, worker):
    worker.freeze()
    row = manager.wait_row("w1", status="not_responding")
    assert row["reason"] == "heartbeat_timeout"
    assert not row["serving"]
    assert_not_early(row)
    flip, = manager.events("worker_status", worker="w1", to="not_responding")
    assert flip["from"] == "alive"

    worker.thaw()
    row = manager.wait_row("w1", status="alive", serving=True)
    assert row["announced"] == "up"


def test_stopped_in_good_order(scene, redis_server):
    # With a timeout of two minutes and a grace of one, nothing but the goodbye can end its serving.
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=60)
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=1)
    manager.wait_row("w1", status="alive", serving=True)
    worker.stop()
    row = manager.wait_row("w1", status="disconnected")
    assert row["reason"] == "goodbye"
    assert row["serving"] is False
    assert row["announced"] == "down"


def test_the_same_id_again_is_the_same_row(scene, manager, worker):
    before = manager.row("w1")
    worker.stop()
    manager.wait_row("w1", status="disconnected")
    worker.start()
    row = manager.wait_row("w1", status="alive", serving=True)
    assert list(manager.rows()) == ["w1"]
    assert row["port"] == before["port"]
    assert row["epoch"] == before["epoch"]
    assert row["seq"] > before["seq"]


def test_never_beat(manager):
    manager.register("silent")
    row = manager.wait_row("silent", status="not_responding")
    assert row["reason"] == "never_beat"
    assert row["announced"] == "none"


def test_registering_again_does_not_extend(scene, manager):
    manager.register("silent")

    def registers_until_seen():
        manager.register("silent")
        return manager.row("silent")["status"] == "not_responding"

    wait_for("not_responding though it registers again and again", registers_until_seen)


def test_a_stalled_manager_suspects_itself(scene, manager, worker):
    # The manager is away for longer than the timeout, the worker beats on: nobody may be declared dead for that.
    flips = len(manager.events("worker_status", worker="w1"))
    manager.freeze()
    frozen_s = stopwatch()
    wait_for("the manager was frozen for longer than the timeout", lambda: frozen_s() > TIMEOUT_S + 1)
    manager.thaw()
    wait_for("it notices its own absence", lambda: manager.events("manager_stall"))
    manager.wait_row("w1", status="alive", serving=True)
    assert len(manager.events("worker_status", worker="w1")) == flips


def test_a_stall_moves_every_deadline(manager):
    # This one does not beat at all: what the manager slept through must not be counted against it.
    peer = Peer(manager, "w1")
    peer.beat()
    manager.wait_row("w1", status="alive")
    manager.freeze()
    frozen_s = stopwatch()
    wait_for("the manager was frozen for longer than the timeout", lambda: frozen_s() > TIMEOUT_S + 1)
    manager.thaw()
    row = manager.wait_row("w1", status="not_responding")
    stall, = manager.events("manager_stall")
    print(f"silent for {silence_s(row):.3f} s, of which the manager slept through {stall['gap']} s")
    assert float(stall["gap"]) > 1, "its timer comes at least once a second, the rest of the three was absence"
    assert silence_s(row) > TIMEOUT_S + float(stall["gap"]) - ROUNDING_S
    peer.vanish()


def test_a_worker_may_bring_its_own_timeout(manager):
    manager.register("patient", heartbeat_timeout=90)
    manager.register("hasty", heartbeat_timeout=0.5)
    row = manager.wait_row("hasty", status="not_responding")
    assert row["heartbeat_timeout"] == 0.5
    assert manager.row("patient")["status"] == "registered"
