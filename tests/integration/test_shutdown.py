"""A stop in good order: every socket is told 1012, everything is given back, and the exit code is 0."""
import os
import shutil
import signal

import pytest

from clients import Peer
from processes import BUILD_DIR, PLAIN_BUILD_DIR, VALGRIND
from waiting import wait_for

SOCKETS = 1000
builds = pytest.mark.parametrize("under, build_dir", [
    pytest.param((), BUILD_DIR, id="as-built"),
    pytest.param(VALGRIND, PLAIN_BUILD_DIR, id="valgrind", marks=pytest.mark.skipif(
        not PLAIN_BUILD_DIR or not shutil.which("valgrind"),
        reason="needs valgrind and HB_PLAIN_BUILD_DIR, a build without sanitizers"))])


def assert_stopped_clean(manager):
    stopped, = manager.events("stopped")
    assert stopped["loop_close"] == "0", "libuv still had handles open"
    assert not manager.complaints()


@builds
def test_a_thousand_sockets(scene, redis_server, under, build_dir):
    manager = scene.manager(redis_server, under=under, build_dir=build_dir, HEARTBEAT_TIMEOUT=600)
    peers = [Peer(manager, f"w{place}") for place in range(SOCKETS)]
    for peer in peers:
        peer.beat(status="alive")
    wait_for("all alive", lambda: len(manager.get("/workers?status=alive").json()) == SOCKETS)
    manager.stop()
    codes = [peer.closed_with() for peer in peers]
    assert codes == [1012] * SOCKETS
    assert_stopped_clean(manager)


@builds
def test_without_redis(scene, under, build_dir):
    manager = scene.manager(under=under, build_dir=build_dir)
    peer = Peer(manager, "w1")
    manager.stop()
    assert peer.closed_with() == 1012
    assert_stopped_clean(manager)


@builds
def test_while_redis_hangs(scene, redis_server, under, build_dir):
    manager = scene.manager(redis_server, under=under, build_dir=build_dir)
    redis_server.freeze()
    manager.register("w1")
    manager.stop()
    assert_stopped_clean(manager)
    redis_server.thaw()


def test_what_happened_last_is_stored(scene, redis_server):
    manager = scene.manager(redis_server, REDIS_FLUSH_INTERVAL=60)
    peers = [Peer(manager, f"w{place}") for place in range(50)]
    for peer in peers:
        peer.beat(metrics={"cpu": 1})
    manager.wait_row("w49", status="alive")
    manager.stop()
    assert len(redis_server.hash()) == 50
    assert all('"status":"alive"' in row for row in redis_server.hash().values()), \
        "a stop of the manager says nothing about its workers"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal(scene, redis_server, number):
    manager = scene.manager(redis_server)
    manager.signal(number)
    assert manager.wait() == 0
    assert_stopped_clean(manager)


def test_the_worker_says_bye_and_ends(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=120)
    worker = scene.worker(manager, "w1", HEARTBEAT_INTERVAL=0.5)
    manager.wait_row("w1", status="alive")
    worker.stop()
    assert not worker.complaints()
    assert manager.wait_row("w1", status="disconnected")["reason"] == "goodbye"


def test_a_worker_that_never_found_its_manager_stops_too(scene, redis_server):
    manager = scene.manager(redis_server)
    manager.kill()
    worker = scene.worker(manager, "w1")
    wait_for("its HTTP service answers", lambda: worker.get("/ping").status_code == 200)
    worker.stop()
    assert not worker.complaints()


def test_file_descriptors_do_not_leak(scene, redis_server):
    manager = scene.manager(redis_server)

    def open_fds():
        return len(os.listdir(f"/proc/{manager.pid}/fd"))

    def visit():
        for place in range(50):
            Peer(manager, f"w{place}").vanish()
        wait_for("all sockets are seen closed", lambda: not any(
            row["status"] in ("connected", "alive") for row in manager.rows().values()))

    visit()
    before = open_fds()
    visit()
    visit()
    wait_for("no more descriptors than before", lambda: open_fds() <= before)
