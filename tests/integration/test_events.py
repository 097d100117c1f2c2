"""What listeners hear: each event once, after its state, in order, and down and recovery strictly in turn."""
import pytest

from listener import Listener, serve, stream_of
from misbehaving import Service, answers
from waiting import wait_for


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=60, DISCONNECT_GRACE=0.5)


@pytest.fixture
def listener(redis_server, manager):
    return Listener(redis_server)


def story(manager, listener, worker="w1"):
    """up, down, recovery, removed: one after the other."""
    peer = serve(manager, worker)
    up, = listener.wait_channel("server:up", worker)
    peer.vanish()
    down, = listener.wait_channel("server:down", worker)
    peer = serve(manager, worker)
    recovery, = listener.wait_channel("server:recovery", worker)
    assert manager.delete(f"/workers/{worker}").status_code in (200, 204)
    removed, = listener.wait_channel("server:removed", worker)
    peer.closed_with()
    return up, down, recovery, removed


def test_the_four_events(manager, listener):
    up, down, recovery, removed = story(manager, listener)
    assert listener.channels("w1") == ["server:up", "server:down", "server:recovery", "server:removed"]

    assert (up["status"], up["serving"], up["host"], up["port"]) == ("alive", True, "127.0.0.1", 9000)
    assert (down["status"], down["serving"], down["reason"]) == ("disconnected", False, "probe_refused")
    assert (recovery["status"], recovery["serving"]) == ("alive", True)
    assert removed["status"] == "removed"
    for event in (up, down, recovery, removed):
        assert event["server_id"] == "w1"
        assert event["manager"] == "m1"
        assert {"worker_name", "previous", "ready", "health", "reason", "epoch", "seq", "at"} <= set(event)


def test_nobody_hears_of_a_state_that_is_not_stored(manager, listener):
    story(manager, listener)
    for channel, event, row, _ in listener.heard:
        if channel == "server:removed":
            assert row is None
        else:
            assert (row["epoch"], row["seq"]) >= (event["epoch"], event["seq"]), f"{channel} came before its row"


def test_the_stream_has_every_transition_without_a_gap(manager, listener, redis_server):
    for worker in ("w1", "w2", "w3"):
        story(manager, listener, worker)
    stream = stream_of(redis_server)
    assert [event["seq"] for _, event in stream] == list(range(1, len(stream) + 1))
    assert len({event["epoch"] for _, event in stream}) == 1
    of_w1 = [event["status"] for _, event in stream if event["server_id"] == "w1"]
    assert of_w1[0] == "registered" and of_w1[-1] == "removed"

    published = [text for _, _, _, text in listener.heard]
    assert len(published) == len(set(published)) == 12
    assert set(published) <= {text for text, _ in stream}, "each published event is an entry of the stream, byte by byte"


def test_down_and_recovery_alternate(manager, listener):
    rounds = 5
    for place in range(rounds):
        peer = serve(manager, "w1")
        wait_for("up or recovery", lambda: len(listener.channels("w1")) == 2 * place + 1)
        peer.vanish()
        wait_for("down", lambda: len(listener.channels("w1")) == 2 * place + 2)
    assert listener.channels("w1") == ["server:up", "server:down"] + ["server:recovery", "server:down"] * (rounds - 1)


def test_a_short_interruption_is_not_announced(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=60, DISCONNECT_GRACE=60)
    listener = Listener(redis_server)
    with Service(answers(200)) as service:
        serve(manager, "w1", service.port).vanish()
        manager.wait_row("w1", status="disconnected", serving=True)
        wait_for("its address was asked whether it is there", lambda: service.asked)
        peer = serve(manager, "w1", service.port)
    manager.wait_row("w1", status="alive", serving=True)
    # Events keep their order: when the one of w2 is heard, all of w1 have been.
    serve(manager, "w2")
    listener.wait_channel("server:up", "w2")
    assert listener.channels("w1") == ["server:up"]
    peer.goodbye()


def test_never_up_is_never_announced(manager, listener):
    manager.register("w1", heartbeat_timeout=0.2)
    manager.wait_row("w1", status="not_responding")
    serve(manager, "w2")
    listener.wait_channel("server:up", "w2")
    assert listener.channels("w1") == []


def test_a_new_address_is_announced(manager, listener):
    peer = serve(manager, "w1")
    listener.wait_channel("server:up", "w1")
    manager.register("w1", port=9001)
    wait_for("up again", lambda: listener.channels("w1") == ["server:up", "server:up"])
    assert [event["port"] for _, event, _, _ in listener.heard] == [9000, 9001]
    peer.goodbye()


def test_draining_takes_it_out_at_once(manager, listener):
    peer = serve(manager, "w1")
    listener.wait_channel("server:up", "w1")
    peer.beat(status="draining")
    down, = listener.wait_channel("server:down", "w1")
    assert (down["status"], down["reason"]) == ("alive", "draining")
    peer.beat()
    manager.wait_row("w1", draining=True, serving=False)
    peer.beat(status="alive")
    listener.wait_channel("server:recovery", "w1")
    assert "draining" not in manager.row("w1")
    peer.goodbye()
