"""HTTP below the meaning: connections that are reused, pipelined, slow, or not HTTP at all."""
import json

import pytest

from clients import RawHttp, request
from waiting import wait_for


@pytest.fixture(scope="module")
def manager(module_scene):
    manager = module_scene.manager(module_scene.redis())
    manager.register("w1")
    return manager


@pytest.fixture(autouse=True)
def goes_on(manager):
    yield
    assert manager.running(), f"the manager ended with {manager.popen.returncode}"
    assert manager.get("/livez").status_code == 200


def test_keep_alive(manager):
    with RawHttp(manager) as http:
        for round_ in range(5):
            http.send(request("GET", "/workers"))
            assert "w1" in json.loads(http.answer().body)
            body = json.dumps({"worker_id": f"kept-{round_}", "port": 1000 + round_}).encode()
            http.send(request("POST", "/register", body))
            assert json.loads(http.answer().body)["worker_id"] == f"kept-{round_}"
            http.send(request("GET", f"/workers/kept-{round_}"))
            assert json.loads(http.answer().body)["port"] == 1000 + round_
            http.send(request("DELETE", f"/workers/kept-{round_}"))
            assert http.answer().status in (200, 204)


def test_an_error_leaves_the_connection_in_step(manager):
    with RawHttp(manager) as http:
        for bad, status in ((request("GET", "/nope"), 404), (request("POST", "/register", b"{"), 400),
                            (request("POST", "/register", b"{}"), 422), (request("PUT", "/register"), 405)):
            http.send(bad)
            answer = http.answer()
            assert answer.status == status
            if answer.headers.get("connection", "").lower() == "close":
                break
            http.send(request("GET", "/workers/w1"))
            assert json.loads(http.answer().body)["worker_id"] == "w1"


def test_pipelined(manager):
    with RawHttp(manager) as http:
        http.send(request("GET", "/workers/w1") + request("GET", "/livez") + request("GET", "/nope"))
        assert json.loads(http.answer().body)["worker_id"] == "w1"
        assert http.answer().status == 200
        assert http.answer().status == 404


@pytest.mark.parametrize("path", ["/workers", "/workers/w1", "/livez", "/readyz", "/"])
def test_head_has_no_body(manager, path):
    with RawHttp(manager) as http:
        http.send(request("HEAD", path))
        answer = http.answer(head=True)
        assert answer.status == 200
        http.send(request("GET", "/workers/w1"))
        follow = http.answer()
        assert follow is not None and follow.status == 200, "a body after HEAD would stand here"
        assert json.loads(follow.body)["worker_id"] == "w1"


def test_a_request_in_single_bytes(manager):
    with RawHttp(manager) as http:
        body = b'{"worker_id":"bytewise"}'
        for byte in request("POST", "/register", body):
            http.send(bytes([byte]))
        assert http.answer().status == 200


def test_a_slow_body_is_given_up(manager):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b"", {"Content-Type": "application/json", "Content-Length": "100"}))
        http.send(b'{"worker_id"')
        answer = http.answer()
        assert answer is None or answer.status == 408
        if answer:
            assert http.at_end()


def test_a_trickling_body_is_given_up_too(manager):
    """Each byte comes in time, the whole never: the deadline is absolute."""
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b"", {"Content-Type": "application/json", "Content-Length": "10000"}))
        wait_for("the manager closes the connection of a trickling client", lambda: not http.send(b" "))


SMUGGLING = {
    "length and chunked": request("POST", "/register", b"", {"Content-Length": "4", "Transfer-Encoding": "chunked"}) + b"0\r\n\r\n",
    "two lengths": b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a negative length": request("POST", "/register", b"", {"Content-Length": "-1"}),
    "a length in words": request("POST", "/register", b"", {"Content-Length": "two"}),
    "a length with a sign": request("POST", "/register", b"", {"Content-Length": "+2"}) + b"{}",
    "no host": request("GET", "/workers", b"", {"Host": None}),
    "HTTP/9.9": b"GET /workers HTTP/9.9\r\nHost: a\r\n\r\n",
    "an unknown upgrade": request("GET", "/workers", b"", {"Connection": "Upgrade", "Upgrade": "h2c"}),
}


@pytest.mark.parametrize("data", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_ambiguous_requests_are_refused(manager, data):
    with RawHttp(manager) as http:
        http.send(data)
        answer = http.answer()
        assert answer is None or 400 <= answer.status < 600, answer
        if answer:
            # What else was sent must not have been taken for a request of its own.
            http.half_close()
            assert http.at_end()


NOISE = {
    "nothing of sense": b"\x00\x01\x02\x03" * 64 + b"\r\n\r\n", "TLS": bytes.fromhex("16030100f5010000f10303") + b"\x5a" * 200,
    "an endless line": b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "an endless header": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
    "ten thousand headers": b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-A: 1\r\n" * 10000 + b"\r\n\r\n",
    "only line feeds": b"\n" * 5000, "a Redis command": b"*1\r\n$4\r\nPING\r\n", "an unknown method": b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", NOISE.values(), ids=NOISE.keys())
def test_noise_is_no_harm(manager, data):
    with RawHttp(manager) as http:
        http.send(data)
        http.half_close()
        answer = http.answer()
        assert answer is None or 400 <= answer.status < 600, answer


def test_a_connection_cut_at_every_byte(manager):
    whole = request("POST", "/register", b'{"worker_id":"cut","port":80}')
    for cut in range(1, len(whole)):
        with RawHttp(manager) as http:
            http.send(whole[:cut])
    assert "cut" not in manager.rows()
