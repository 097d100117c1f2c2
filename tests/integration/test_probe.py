"""Confirm before condemning: when a worker's socket breaks, its address is asked at once whether anybody is there."""
import pytest

from clients import Peer
from listener import Listener, serve
from misbehaving import Service, after, answers, never
from namespace import namespace
from polling import enrol, last_transition
from processes import Scene, free_port
from waiting import wait_for

GRACE_S = 60  # what a probe spares is clearly told from what time brings


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=GRACE_S, LOG_LEVEL="debug")


def test_a_killed_worker_loses_its_traffic_at_once(scene, manager, redis_server):
    listener = Listener(redis_server)
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=1)
    manager.wait_row("w1", status="alive", serving=True)
    worker.kill()
    manager.wait_row("w1", status="disconnected", serving=False, reason="probe_refused")
    down, = listener.wait_channel("server:down", "w1")
    assert down["reason"] == "probe_refused"
    last = last_transition(manager, "w1")
    assert (last["reason"], last["announced"]) == ("probe_refused", "server:down")
    assert last["evidence"]["silence"] < GRACE_S / 2


@pytest.mark.parametrize("behave", [answers(200), answers(500), never], ids=["well", "unwell", "silent"])
def test_who_still_answers_keeps_its_grace(scene, redis_server, behave):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=GRACE_S, LOG_LEVEL="debug", POLL_TIMEOUT=0.5)
    with Service(behave) as service:
        serve(manager, "w1", service.port).vanish()
        wait_for("the probe has ended", lambda: manager.events("probed", worker="w1"))
        row = manager.row("w1")
        assert (row["status"], row["serving"], row["ready"], row["health"]) == ("disconnected", True, False, "unknown")
        assert service.asked[0].startswith("GET /health HTTP/1.1\r\n") and len(service.asked) == 1


def test_its_url_is_asked_when_it_has_one(manager):
    with Service(answers(200)) as service:
        enrol(manager, "w1", f"http://127.0.0.1:{service.port}/status", host="127.0.0.1", port=free_port())
        manager.wait_row("w1", health="healthy")
        peer = Peer(manager, "w1")
        peer.beat(status="alive")
        manager.wait_row("w1", status="alive", beats=True)
        asked = len(service.asked)
        peer.vanish()
        wait_for("the probe has ended", lambda: manager.events("probed", worker="w1", outcome="answered"))
        assert len(service.asked) > asked and service.asked[-1].startswith("GET /status ")
        assert manager.row("w1")["serving"]


def test_who_is_back_before_the_probe_ends_is_left_alone(manager, redis_server):
    listener = Listener(redis_server)
    with Service(after(60, answers(200))) as service:  # until it is closed
        serve(manager, "w1", service.port).vanish()
        wait_for("the probe is under way", lambda: service.asked)
        peer = serve(manager, "w1", service.port)
        manager.wait_row("w1", status="alive")
    wait_for("the probe has ended", lambda: manager.events("probed", worker="w1"))
    assert manager.row("w1")["serving"]
    assert listener.channels("w1") == ["server:up"]
    peer.goodbye()


def test_who_was_removed_before_the_probe_ends(manager):
    with Service(after(60, answers(200))) as service:
        serve(manager, "w1", service.port).vanish()
        wait_for("the probe is under way", lambda: service.asked)
        manager.delete("/workers/w1")
    wait_for("the probe has ended", lambda: manager.events("probed", worker="w1"))
    assert manager.row("w1") is None


def test_no_more_probes_at_a_time_than_polls(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=GRACE_S, POLL_CONCURRENCY=2, LOG_LEVEL="debug")
    with Service(after(30, answers(200))) as service:
        peers = [serve(manager, f"w{place}", service.port) for place in range(6)]
        for peer in peers:
            peer.vanish()
        wait_for("all are disconnected", lambda: {row["status"] for row in manager.rows().values()} == {"disconnected"})
        wait_for("the probes have ended", lambda: len(manager.events("probed")) == 2)
        assert len(service.asked) == 2
        assert all(row["serving"] for row in manager.rows().values())


def test_a_black_hole_ends_the_grace(tmp_path):
    """Nothing comes back from there at all, not even a refusal: that is unreachable."""
    with namespace() as space:
        hole = free_port()
        space.drop("tcp", "dport", str(hole))
        scene = Scene(tmp_path)  # of its own: it must end before its namespace does
        manager = scene.manager(scene.redis(), HEARTBEAT_TIMEOUT=120, DISCONNECT_GRACE=GRACE_S, POLL_TIMEOUT=0.5)
        try:
            serve(manager, "w1", hole).vanish()
            manager.wait_row("w1", status="disconnected", serving=False)
            last = last_transition(manager, "w1")
            assert last["reason"] == "probe_refused" and last["evidence"]["silence"] < GRACE_S / 2
        finally:
            scene.close()
