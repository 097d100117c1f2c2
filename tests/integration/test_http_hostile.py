"""HTTP clients that mean harm, or behave as if: what they do must stay theirs."""
import signal
import socket
import threading

import pytest

from clients import Peer, RawHttp, request
from waiting import wait_for

BEAT = request("POST", "/workers/behind/heartbeat", b"{}")
LIVE = request("GET", "/livez")
LIVE_WITH_BODY = request("GET", "/livez", b"xx")
NOWHERE = request("POST", "/nowhere", b"{}")


@pytest.fixture(scope="module")
def manager(module_scene):
    return module_scene.manager(module_scene.redis())


@pytest.fixture(autouse=True)
def goes_on(manager):
    """The loop turns: this is what a request behind another one used to end."""
    yield
    assert manager.get("/livez").status_code == 200


@pytest.mark.parametrize("parts", [
    [BEAT * 2], [BEAT * 5], [LIVE + BEAT], [LIVE_WITH_BODY * 2], [NOWHERE * 2], [LIVE + BEAT[:-2], BEAT[-2:]],
    [LIVE + BEAT[:30], BEAT[30:]]], ids=["beats", "many beats", "get, beat", "gets with bodies", "nowhere", "head", "half a head"])
@pytest.mark.parametrize("half_close", [False, True])
def test_a_body_behind_an_earlier_request(manager, parts, half_close):
    with RawHttp(manager) as http:
        for part in parts:
            http.send(part)
        if half_close:
            http.half_close()
        assert http.answer().status in (200, 404)  # the first is served; the rest may have to be sent again
        answer = http.answer()
        assert answer is None or answer.status in (200, 404)
    assert manager.get("/livez").status_code == 200


def test_requests_one_after_the_other_share_a_connection(manager):
    with RawHttp(manager) as http:
        for _ in range(20):
            for part in (LIVE, BEAT, LIVE_WITH_BODY, NOWHERE):
                http.send(part)
                assert http.answer().status in (200, 404)


def test_a_registration_behind_one_that_waits_for_redis(module_scene):
    redis = module_scene.redis()
    manager = module_scene.manager(redis)
    redis.freeze()
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b'{"worker_id":"first"}'))
        wait_for("the first is in", lambda: manager.get("/workers/first").status_code == 200)
        http.send(request("POST", "/register", b'{"worker_id":"second"}'))
        assert http.answer().status == 200
        answer = http.answer()
        assert answer is None or answer.status == 200
    assert manager.get("/livez").status_code == 200
    redis.thaw()


@pytest.mark.parametrize("length", ["9999999999999999999", "999999999999999999", "18446744073709551617", "9" * 60])
def test_a_length_beyond_all_numbers(manager, length):
    with RawHttp(manager) as http:
        http.send(request("POST", "/workers/huge/heartbeat", headers={"Content-Length": length}))
        assert http.answer().status in (400, 413)
    assert manager.get("/workers/huge").status_code == 404


def test_a_body_that_nobody_wants_has_its_time_too(manager):
    with RawHttp(manager) as http:
        http.send(request("POST", "/nowhere", headers={"Content-Length": "16000"}))
        assert http.answer().status == 404
        http.sock.settimeout(0.2)
        ended = threading.Event()

        def drips():
            try:
                http.sock.sendall(b"x")
                if http.sock.recv(100) == b"":
                    ended.set()
            except socket.timeout:
                pass
            except OSError:
                ended.set()
            return ended.is_set()

        wait_for("the dripping connection is closed", drips)


def test_a_stalled_body_is_told_so(manager):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", headers={"Content-Length": "50"}) + b'{"a')
        assert http.answer().status == 408


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=" + "u" * 80])
def test_the_type_of_a_body(manager, content_type):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b'{"worker_id":"typed"}', {"Content-Type": content_type}))
        assert http.answer().status == 415
    assert manager.get("/workers/typed").status_code == 404


@pytest.mark.parametrize("method, path", [("POST", "/register"), ("DELETE", "/workers/typed")])
def test_a_page_of_somebody_else(manager, method, path):
    with RawHttp(manager) as http:
        http.send(request(method, path, b'{"worker_id":"typed"}', {"Origin": "http://elsewhere.example"}))
        assert http.answer().status == 403
        http.send(request(method, path, b'{"worker_id":"typed"}', {"Origin": "http://localhost"}))
        answer = http.answer()
        assert answer is None or answer.status != 403


def test_a_reader_that_does_not_read_but_sends(module_scene):
    """libwebsockets neither reads nor stops looking at such a socket: its connection is ended."""
    manager = module_scene.manager(module_scene.redis())
    notes = {f"note{i}": "x" * 200 for i in range(20)}
    for i in range(300):
        assert manager.post("/register", {"worker_id": f"w{i}", "attributes": notes}).status_code == 200
    with RawHttp(manager) as http:
        http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        http.send(request("GET", "/workers") * 200)

        def reset():
            return not http.send(b"x")

        wait_for("the manager ends it", reset)
    assert manager.get("/livez").status_code == 200


def test_requests_during_a_stop(module_scene):
    """One WebSocket that does not answer its close frame keeps the stop waiting; nothing may be used that is gone."""
    redis = module_scene.redis()
    manager = module_scene.manager(redis)
    peer = Peer(manager, "mute")
    peer.beat(status="alive")
    wait_for("it is there", lambda: manager.get("/workers/mute").status_code == 200)
    redis.freeze()
    lines = [RawHttp(manager) for _ in range(20)]
    lines[0].send(request("POST", "/register", b'{"worker_id":"waits"}'))
    manager.signal(signal.SIGTERM)
    wait_for("it stops", lambda: manager.events("stopping"))
    for line in lines[1:]:
        line.send(request("GET", "/readyz"))
        line.send(request("POST", "/register", b'{"worker_id":"late"}'))
        answer = line.answer()
        assert answer is None or answer.status == 503
    redis.thaw()
    assert manager.wait() == 0
    assert not manager.complaints()
    peer.vanish()
