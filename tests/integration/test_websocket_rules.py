"""The rules of /ws/<id>: what is answered, what closes the connection, and with which code."""
import itertools
import json

import pytest
import websocket
from websocket import ABNF

from clients import ABNORMAL, Peer, RawHttp, request
from waiting import wait_for

MESSAGE_MAX = 4096
numbers = itertools.count(1)
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.fixture(scope="module")
def manager(module_scene):
    return module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=60, ALLOWED_ORIGINS="https://ops.example")


@pytest.fixture
def worker():
    """An id of its own for each test."""
    return f"w{next(numbers)}"


@pytest.fixture(autouse=True)
def goes_on(manager):
    yield
    assert manager.running(), f"the manager ended with {manager.popen.returncode}"
    assert manager.get("/livez").status_code == 200


def alive(manager, worker):
    peer = Peer(manager, worker)
    peer.beat()
    manager.wait_row(worker, status="alive")
    return peer


@pytest.mark.parametrize("bad", ["{", "[]", '"text"', '{"metrics":7}', "", '{"a":1,"a":2}'])
def test_a_bad_message_is_answered_and_is_no_beat(manager, worker, bad):
    peer = Peer(manager, worker)
    peer.send(bad)
    assert len(peer.receive()["error"]) > 10
    assert manager.row(worker) is None
    peer.beat()
    manager.wait_row(worker, status="alive")


def test_three_bad_messages_in_a_row_close(manager, worker):
    peer = alive(manager, worker)
    for _ in range(2):
        peer.send("{")
        assert "error" in peer.receive()
    peer.beat()  # a good one in between: the count starts again
    for _ in range(2):
        peer.send("{")
        assert "error" in peer.receive()
    peer.send("{")
    assert peer.closed_with() == 1008


def test_a_message_may_be_large_but_not_too_large(manager, worker):
    peer = Peer(manager, worker)
    text = json.dumps({"ignored": ""})
    text = text.replace('""', '"' + "x" * (MESSAGE_MAX - len(text)) + '"')
    peer.send(text)
    manager.wait_row(worker, status="alive")
    peer.send(text + " ")
    assert peer.closed_with() == 1009


def test_too_large_in_fragments(manager, worker):
    peer = alive(manager, worker)
    peer.frame('{"x":"', ABNF.OPCODE_TEXT, fin=0)
    for _ in range(MESSAGE_MAX // 64 + 1):
        try:
            peer.frame("x" * 64, ABNF.OPCODE_CONT, fin=0)
        except (BrokenPipeError, ConnectionResetError):
            break
    assert peer.closed_with() == 1009


def test_a_frame_that_announces_gigabytes(manager, worker):
    peer = alive(manager, worker)
    peer.ws.sock.sendall(bytes([0x81, 0xFF]) + (2**40).to_bytes(8, "big") + b"mask" + b"x" * 8192)
    assert peer.closed_with() in (1009, 1002)


def test_bad_utf8(manager, worker):
    peer = alive(manager, worker)
    peer.frame(b'{"worker_name":"\xff\xfe"}', ABNF.OPCODE_TEXT)
    assert peer.closed_with() == 1007


def test_fragments_make_one_message(manager, worker):
    peer = Peer(manager, worker)
    text = json.dumps({"worker_name": "gefächert", "metrics": {"cpu": 1.5}}, ensure_ascii=False).encode()
    cut = text.index("ä".encode()) + 1  # in the middle of a character
    peer.frame(text[:3], ABNF.OPCODE_TEXT, fin=0)
    peer.frame(text[3:cut], ABNF.OPCODE_CONT, fin=0)
    peer.frame(b"between", ABNF.OPCODE_PING)
    peer.frame(text[cut:], ABNF.OPCODE_CONT, fin=1)
    row = manager.wait_row(worker, status="alive", worker_name="gefächert")
    assert row["metrics"] == {"cpu": 1.5}


def test_a_ping_is_answered_and_is_no_beat(manager, worker):
    peer = Peer(manager, worker)
    peer.frame(b"hello", ABNF.OPCODE_PING)
    frame = peer.ws.recv_frame()
    assert (frame.opcode, frame.data) == (ABNF.OPCODE_PONG, b"hello")
    assert manager.row(worker) is None


def test_bye_is_answered_with_1000(manager, worker):
    peer = alive(manager, worker)
    peer.beat(status="bye")
    assert peer.closed_with() == 1000
    assert manager.wait_row(worker, status="disconnected")["reason"] == "goodbye"


@pytest.mark.parametrize("code, reason", [(1000, "goodbye"), (1001, "goodbye"), (1011, "connection_closed"), (4321, "connection_closed")])
def test_the_close_code_tells_a_goodbye(manager, worker, code, reason):
    alive(manager, worker).goodbye(code)
    assert manager.wait_row(worker, status="disconnected")["reason"] == reason


def test_the_newest_socket_wins(manager, worker):
    first = alive(manager, worker)
    before = manager.row(worker)
    second = Peer(manager, worker)
    assert first.closed_with() == 4000
    second.beat()
    row = manager.row(worker)
    assert (row["status"], row["since"]) == ("alive", before["since"]), "alive stays alive"
    second.goodbye()


def test_removal_closes_and_refuses_for_a_while(manager, worker):
    peer = alive(manager, worker)
    assert manager.delete(f"/workers/{worker}").status_code in (200, 204)
    assert peer.closed_with() == 4001
    assert manager.row(worker) is None
    answer = manager.post(f"/workers/{worker}/heartbeat", {})
    assert answer.status_code >= 400, "a beat does not bring back what was just removed"
    assert manager.row(worker) is None


def test_an_id_that_two_processes_claim(manager, worker):
    peers = [alive(manager, worker)]
    for _ in range(3):
        peers.append(Peer(manager, worker))
        assert peers[-2].closed_with() == 4000
    newcomer = Peer(manager, worker)
    assert newcomer.closed_with() == 4009
    row = manager.wait_row(worker, id_conflict=True)
    assert row["status"] in ("alive", "connected")
    peers[-1].beat()
    manager.wait_row(worker, status="alive", id_conflict=True)


@pytest.mark.parametrize("offered, chosen", [(None, None), (["heartbeat.v1"], "heartbeat.v1"),
                                             (["other", "heartbeat.v1"], "heartbeat.v1")])
def test_subprotocol(manager, worker, offered, chosen):
    peer = Peer(manager, worker, subprotocols=offered)
    assert peer.ws.subprotocol == chosen
    peer.beat()
    manager.wait_row(worker, status="alive")


def test_an_unknown_subprotocol_is_refused(manager, worker):
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        Peer(manager, worker, subprotocols=["other.v7"]).beat()
    assert manager.row(worker) is None


@pytest.mark.parametrize("origin, welcome", [
    (None, True), ("http://127.0.0.1:{port}", True), ("https://ops.example", True),
    ("https://evil.example", False), ("http://127.0.0.1:1", False), ("null", False), ("https://ops.example.evil.example", False)])
def test_origin(manager, worker, origin, welcome):
    headers = {**UPGRADE, "Host": f"127.0.0.1:{manager.port}"}
    if origin:
        headers["Origin"] = origin.format(port=manager.port)
    with RawHttp(manager) as http:
        http.send(request("GET", f"/ws/{worker}", b"", headers))
        assert http.answer().status == (101 if welcome else 403)


@pytest.mark.parametrize("changed, status", [
    ({"Sec-WebSocket-Version": "8"}, (400, 426)), ({"Sec-WebSocket-Key": "short"}, (400,)), ({"Sec-WebSocket-Key": None}, (400,))])
def test_a_wrong_handshake_is_refused(manager, worker, changed, status):
    with RawHttp(manager) as http:
        http.send(request("GET", f"/ws/{worker}", b"", {**UPGRADE, **changed}))
        answer = http.answer()
        assert answer is None or answer.status in status, answer


@pytest.mark.parametrize("path", ["/ws/", "/ws/a%20b", "/ws/" + "a" * 65, "/ws/a/b", "/workers", "/nope", "/ws"])
def test_a_wrong_path_is_refused(manager, path):
    with RawHttp(manager) as http:
        http.send(request("GET", path, b"", UPGRADE))
        assert 400 <= http.answer().status < 500


def test_broken_framing_is_no_harm(manager, worker):
    """Reserved bits, reserved opcodes, a continuation of nothing, a fragmented ping, an oversized one."""
    mask = b"\0\0\0\0"
    for broken in (b"\xf1\x82", b"\x83\x82", b"\x80\x82", b"\x09\x82", b"\x89\xfe\x01\x00"):
        peer = alive(manager, worker)
        peer.ws.sock.sendall(broken + mask + b"{}" * 128)
        assert peer.closed_with() in (1002, 1009, ABNORMAL)
        manager.wait_row(worker, status="disconnected", reason="connection_closed")


def test_a_binary_message_is_no_beat(manager, worker):
    peer = Peer(manager, worker)
    peer.frame(b"{}", ABNF.OPCODE_BINARY)
    assert "error" in peer.receive()
    assert manager.row(worker) is None


def test_a_socket_that_never_beats_is_closed(scene, redis_server):
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=0.5)
    peer = Peer(manager, "mute")
    assert peer.closed_with() == 1008
    assert manager.row("mute") is None


def test_a_manager_that_stops_says_1012(scene, redis_server):
    manager = scene.manager(redis_server)
    peers = [alive(manager, f"w{place}") for place in range(5)]
    manager.stop()
    assert [peer.closed_with() for peer in peers] == [1012] * 5


def test_bad_messages_are_counted_in_the_log_without_flooding_it(manager, worker):
    def rounds():
        peer = Peer(manager, worker)
        for _ in range(3):
            peer.send("{")
        return peer.closed_with() == 1008

    before = len(manager.log().splitlines())
    for _ in range(3):
        wait_for("closed for three bad messages", rounds)
    assert len(manager.log().splitlines()) - before < 30
