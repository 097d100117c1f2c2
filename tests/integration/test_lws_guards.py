"""Four ways to hurt a server on libwebsockets 4.1.6, each of which this one must survive: use after free by an unknown
Upgrade on a reused connection, CONNECT, a body that never ends, and running out of file descriptors."""
import shutil
import socket

import pytest

from clients import Peer, RawHttp, request
from processes import PLAIN_BUILD_DIR, VALGRIND
from waiting import stopwatch, wait_for

needs_valgrind = pytest.mark.skipif(not PLAIN_BUILD_DIR or not shutil.which("valgrind"),
                                    reason="needs valgrind and HB_PLAIN_BUILD_DIR, a build without sanitizers")
FEW_FDS = 1200  # of which the manager leaves 512 to everything but its clients


def upgrade_to(what):
    return request("GET", "/workers", b"", {"Connection": "Upgrade", "Upgrade": what})


@needs_valgrind
def test_an_unknown_upgrade_on_a_reused_connection(scene, redis_server):
    # The library is not instrumented, so only valgrind sees what happens inside it.
    manager = scene.manager(redis_server, under=VALGRIND, build_dir=PLAIN_BUILD_DIR)
    for what in ("foobar", "h2c", "websocket-not", "x" * 200):
        for _ in range(3):
            with RawHttp(manager) as http:
                http.send(request("GET", "/workers"))
                assert http.answer().status == 200
                http.send(upgrade_to(what))
                answer = http.answer()
                assert answer is None or answer.status >= 400
    for harmless in ({"Connection": "Upgrade"}, {"Connection": "Upgrade", "Upgrade": ""}, {"Upgrade": "foobar"}):
        with RawHttp(manager) as http:
            http.send(request("GET", "/workers") + request("GET", "/workers", b"", harmless))
            assert http.answer().status == 200
            http.answer()
    assert manager.get("/livez").status_code == 200
    manager.stop()
    assert not manager.complaints()


@needs_valgrind
def test_a_working_day_under_valgrind(scene, redis_server):
    manager = scene.manager(redis_server, under=VALGRIND, build_dir=PLAIN_BUILD_DIR, HEARTBEAT_TIMEOUT=120)
    peers = [Peer(manager, f"w{place}") for place in range(20)]
    for place, peer in enumerate(peers):
        manager.register(f"w{place}")
        peer.beat(status="alive", metrics={"cpu": place})
    wait_for("20 alive", lambda: [row["status"] for row in manager.rows().values()] == ["alive"] * 20)
    peers[0].goodbye()
    peers[1].vanish()
    peers[2].send("{")
    peers[3].frame(b"\xff", 1)
    manager.delete("/workers/w4")
    manager.post("/register", {"worker_id": "!"})
    Peer(manager, "w5").beat()
    manager.wait_row("w1", status="disconnected")
    redis_server.kill()
    wait_for("it notices that Redis is gone", lambda: manager.get("/readyz").status_code == 503)
    redis_server.start()
    manager.wait_answer("/readyz")
    manager.stop()
    assert not manager.complaints()


def test_connect_does_not_become_a_tunnel(scene, redis_server):
    manager = scene.manager(redis_server)
    for _ in range(20):
        with RawHttp(manager) as http:
            http.send(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
            answer = http.answer()
            assert answer is None or answer.status >= 400
            if answer:
                http.send(b"raw bytes that are no HTTP\r\n\r\n")
                wait_for("the connection ends", lambda: not http.send(b"more\r\n"))
    assert manager.get("/livez").status_code == 200


def test_many_slow_bodies_do_not_block_the_others(scene, redis_server):
    manager = scene.manager(redis_server)
    slow = [RawHttp(manager) for _ in range(50)]
    for http in slow:
        http.send(request("POST", "/register", b"", {"Content-Type": "application/json", "Content-Length": "50"}) + b'{"wor')
    manager.register("quick")
    for http in slow:
        answer = http.answer()
        assert answer is None or answer.status == 408
        http.sock.close()


def test_headers_that_never_end_are_given_up(scene, redis_server):
    manager = scene.manager(redis_server)
    with RawHttp(manager) as http:
        http.send(b"GET /workers HTTP/1.1\r\nHost: a\r\n")
        wait_for("the manager closes the connection of a trickling client", lambda: not http.send(b"X: y\r\n"), limit_s=120)


def refused(crowd):
    """How many of these sockets the manager has closed."""
    count = 0
    for sock in crowd:
        sock.setblocking(False)
        try:
            count += sock.recv(1) == b""
        except BlockingIOError:
            pass
        except OSError:
            count += 1
    return count


def test_running_out_of_file_descriptors(scene, redis_server):
    manager = scene.manager(redis_server, nofile=FEW_FDS, HEARTBEAT_TIMEOUT=60)
    worker = Peer(manager, "w1")
    worker.beat()
    manager.wait_row("w1", status="alive")
    manager.http.close()

    crowd = [socket.create_connection(("127.0.0.1", manager.port), timeout=30) for _ in range(FEW_FDS + 200)]
    # While the crowd stands, the manager must neither spin nor forget its worker.
    cpu_before, logged_before, elapsed_s = manager.cpu_s(), len(manager.log()), stopwatch()

    def two_seconds_of_beats():
        worker.beat()
        return elapsed_s() > 2

    wait_for("two seconds of beats beside the crowd", two_seconds_of_beats)
    cpu_s, passed_s, logged = manager.cpu_s() - cpu_before, elapsed_s(), len(manager.log()) - logged_before
    print(f"CPU {cpu_s:.2f} s in {passed_s:.2f} s beside the crowd; the log grew by {logged} bytes")
    assert cpu_s < passed_s / 2
    assert logged < 20000
    assert manager.events("connections_full")
    wait_for("who is beyond the limit is refused", lambda: refused(crowd) >= len(crowd) - (FEW_FDS - 512))

    for sock in crowd:
        sock.close()
    assert manager.row("w1")["status"] == "alive"
    assert manager.get("/livez").status_code == 200
