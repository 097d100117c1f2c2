"""Polls that hang hold nobody up: who stops beating is found as soon as when there is nothing to poll."""
import datetime
import socket
from contextlib import ExitStack

import pytest

from clients import Peer
from misbehaving import Service, tarpit
from namespace import namespace
from polling import enrol
from processes import Scene
from waiting import wait_for

TIMEOUT_S = 2
FREEZING = 100
HANGING = 100  # of each kind
LATER_S = 1    # generous, for a machine that is busy otherwise


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def lateness_s(scene, redis_server, hang, under=()):
    """The latest detection, and the mean, of workers that beat once and fall silent."""
    manager = scene.manager(redis_server, under=under, MANAGER_ID=f"m-{len(scene.processes)}", HEARTBEAT_TIMEOUT=TIMEOUT_S,
                            POLL_TIMEOUT=1, POLL_INTERVAL=1, POLL_CONCURRENCY=2 * HANGING)
    hang(manager)
    # Started one after the other over some seconds, so that they fall silent at any time of a poll.
    peers = []
    for place in range(FREEZING):
        manager.register(f"w{place}")
        peers.append(Peer(manager, f"w{place}"))
        peers[-1].beat(status="alive")
    wait_for("all are found", lambda: all(
        manager.row(f"w{place}")["status"] == "not_responding" for place in range(FREEZING)))
    rows = [manager.row(f"w{place}") for place in range(FREEZING)]
    late = [(moment(row["since"]) - moment(row["last_heartbeat"])).total_seconds() - TIMEOUT_S for row in rows]
    assert not manager.events("manager_stall")
    manager.stop()
    redis_server.client.flushall()
    return max(late), sum(late) / len(late)


@pytest.mark.parametrize("kind", ["tarpit", "silent-dns"])
def test_hanging_polls_hold_nobody_up(tmp_path, kind):
    with namespace() as space, ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener.bind(("127.0.0.53", 53))
        space.write("resolv.conf", "nameserver 127.0.0.53\n")
        service = stack.enter_context(Service(tarpit))
        scene = Scene(tmp_path)  # of its own: it must end before its namespace does
        stack.callback(scene.close)
        redis_server = scene.redis()

        def hang(manager):
            for place in range(HANGING):
                enrol(manager, f"p{place}", service.url if kind == "tarpit" else f"http://nameless{place}.example/")
            wait_for("all hang", lambda: len(service.asked) >= HANGING if kind == "tarpit" else listener.recv(512))

        idle, idle_mean = lateness_s(scene, redis_server, lambda manager: None, space.under)
        under, under_mean = lateness_s(scene, redis_server, hang, space.under)
        print(f"latest detection: idle {idle * 1000:.1f} ms, with {HANGING} polls that hang ({kind}) {under * 1000:.1f} ms, "
              f"ratio {under / max(idle, 0.001):.2f}; mean {idle_mean * 1000:.1f} and {under_mean * 1000:.1f} ms")
        assert under < idle + LATER_S
