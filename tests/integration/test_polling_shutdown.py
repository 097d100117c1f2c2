"""A stop in good order while polls of every kind are under way, probes among them."""
import os
import shutil

import pytest

from listener import serve
from misbehaving import Service, never, tarpit
from namespace import namespace
from polling import enrol
from processes import BUILD_DIR, PLAIN_BUILD_DIR, VALGRIND, Scene, free_port
from waiting import wait_for

EACH = 20
builds = pytest.mark.parametrize("under, build_dir", [
    pytest.param((), BUILD_DIR, id="as-built"),
    pytest.param(VALGRIND, PLAIN_BUILD_DIR, id="valgrind", marks=pytest.mark.skipif(
        not PLAIN_BUILD_DIR or not shutil.which("valgrind"),
        reason="needs valgrind and HB_PLAIN_BUILD_DIR, a build without sanitizers"))])


def sockets_of(manager):
    links = (os.readlink(f"/proc/{manager.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{manager.pid}/fd"))
    return sum(link.startswith("socket:") for link in links)


def assert_stopped_clean(manager):
    stopped, = manager.events("stopped")
    assert stopped["loop_close"] == "0", "libuv still had handles open"
    assert not manager.complaints()


@builds
def test_with_polls_and_probes_under_way(scene, redis_server, under, build_dir):
    manager = scene.manager(redis_server, under=under, build_dir=build_dir, POLL_TIMEOUT=60, POLL_CONCURRENCY=4 * EACH,
                            HEARTBEAT_TIMEOUT=600, DISCONNECT_GRACE=600)
    with Service(never) as silent, Service(tarpit) as slow, Service(never) as asked_twice, Service(never, until=b"") as handshake:
        for place in range(EACH):
            enrol(manager, f"silent{place}", silent.url)
            enrol(manager, f"slow{place}", slow.url)
            enrol(manager, f"tls{place}", f"https://127.0.0.1:{handshake.port}")
        for place in range(EACH):
            serve(manager, f"w{place}", asked_twice.port).vanish()
        for service in (silent, slow, asked_twice, handshake):
            wait_for("all are under way", lambda service=service: len(service.asked) == EACH)
        assert sockets_of(manager) > 4 * EACH
        manager.stop()
    assert_stopped_clean(manager)


@builds
def test_with_names_that_nobody_resolves(tmp_path, under, build_dir):
    """Threads of libcurl's wait for a name server that was never there; the process does not wait for them."""
    with namespace() as space:
        hole = free_port()
        space.drop("udp", "dport", "53")
        space.drop("tcp", "dport", str(hole))
        space.write("resolv.conf", "nameserver 127.0.0.53\noptions timeout:30 attempts:3\n")
        scene = Scene(tmp_path)  # of its own: it must end before its namespace does
        try:
            # valgrind takes the stacks of threads that still run for possibly lost.
            checked = [*under, "--show-leak-kinds=definite"] if under else []
            manager = scene.manager(scene.redis(), under=[*space.under, *checked], build_dir=build_dir, POLL_TIMEOUT=60,
                                    POLL_CONCURRENCY=2 * EACH)
            threads = len(os.listdir(f"/proc/{manager.pid}/task"))
            for place in range(EACH):
                enrol(manager, f"nameless{place}", f"http://nameless{place}.example/")
                enrol(manager, f"hole{place}", f"http://127.0.0.1:{hole}/")
            wait_for("all are being looked up", lambda: len(os.listdir(f"/proc/{manager.pid}/task")) >= threads + EACH)
            manager.stop()
            assert_stopped_clean(manager)
        finally:
            scene.close()
