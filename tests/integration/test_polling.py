"""Polled services of every kind: what is said of them, where, and that it is said once."""
import ssl
import subprocess
from contextlib import ExitStack

import pytest

from listener import Listener
from misbehaving import Service, after, answers, endless_head, half, half_a_chunk, huge, never, says, tarpit
from polling import QUICK, assert_verdict, enrol, wait_outcome
from processes import free_port
from waiting import stopwatch, wait_for

GOOD = (True, "healthy", "alive", True)
SICK = (False, "unhealthy", "alive", False)
GONE = (False, "dead", "not_responding", False)

# name: (what it does, (ready, health, status, serving), HTTP status in the evidence, how its polls end)
KINDS = {
    "ok": (answers(200, {"status": "healthy"}), GOOD, 200, "answered"),
    "empty": (answers(200), GOOD, 200, "answered"),
    "slow": (after(0.3, answers(200)), GOOD, 200, "answered"),
    "wrong-json": (answers(200, b'{"uptime": "long", "attributes": [1], "requests": '), GOOD, 200, "answered"),
    "huge": (huge, GOOD, 200, "answered"),
    "degraded": (answers(200, {"request_count": 10, "error_count": 2}), (True, "degraded", "alive", True), 200, "answered"),
    "error": (answers(500, b"<h1>oops</h1>"), SICK, 500, "answered"),
    "unwell": (answers(503, {"status": "unhealthy"}), SICK, 503, "answered"),
    "no-content": (answers(204), SICK, 204, "answered"),
    "never": (never, GONE, 0, "timed_out"),
    "tarpit": (tarpit, GONE, 0, "timed_out"),
    "half": (half, GONE, 0, "broken"),
    "half-chunk": (half_a_chunk, GONE, 0, "broken"),
    "half-head": (says(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), GONE, 0, "broken"),
    "status-line": (says(b"HTTP/1.1 200 OK\r\n"), GONE, 0, "broken"),
    "continued": (says(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), GOOD, 200, "answered"),
    "half-continued": (says(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"), GONE, 0, "broken"),
    "trailers": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-End: 1\r\n\r\n"), GOOD, 200,
                 "answered"),
    "silent": (says(b""), GONE, 0, "broken"),
    "no-http": (says(b"220 mail.example ESMTP\r\n"), GONE, 0, "broken"),
    "endless-head": (endless_head, GONE, 0, "broken"),
}


@pytest.fixture(scope="module")
def redis_of_all(module_scene):
    return module_scene.redis()


@pytest.fixture(scope="module")
def manager(module_scene, redis_of_all):
    return module_scene.manager(redis_of_all, **QUICK)


@pytest.fixture(scope="module")
def services(manager):
    with ExitStack() as stack:
        started = {kind: stack.enter_context(Service(behave)) for kind, (behave, *_) in KINDS.items()}
        for kind, service in started.items():
            enrol(manager, kind, service.url)
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_of_each_kind(manager, services, redis_of_all, kind):
    _, (ready, health, status, serving), code, outcome = KINDS[kind]
    row = assert_verdict(manager, redis_of_all, kind, ready, health, status, serving, code)
    wait_outcome(manager, kind, outcome, code)
    assert row["announced"] == ("up" if serving else "none"), "one that was never up is never announced down"
    assert ("requests" in row) == (kind == "degraded"), "of a body that cannot be read nothing counts"
    assert services[kind].asked
    assert services[kind].taken == 0, "a body without end is not taken to its end"


def test_the_request(services):
    wait_for("it was asked", lambda: services["ok"].asked)
    lines = services["ok"].asked[0].split("\r\n")
    assert lines[0] == "GET /health HTTP/1.1"
    assert any(line.startswith("User-Agent: heartbeat-manager/") for line in lines)
    assert "Connection: close" in lines


def test_nobody_listens(manager, redis_of_all):
    enrol(manager, "refused", f"http://127.0.0.1:{free_port()}")
    assert_verdict(manager, redis_of_all, "refused", *GONE, code=0)
    wait_outcome(manager, "refused", "refused")


@pytest.mark.parametrize("written, asked", [("", "/health"), ("/", "/"), ("/a/b?c=d", "/a/b?c=d"), ("?deep=1", "/health?deep=1"),
                                            ("#top", "/health")])
def test_base_urls(manager, written, asked):
    with Service(answers(200)) as service:
        worker = f"base-{asked.count('/')}-{len(written)}"
        enrol(manager, worker, f"http://127.0.0.1:{service.port}{written}")
        manager.wait_row(worker, health="healthy")
        assert service.asked[0].startswith(f"GET {asked} HTTP/1.1\r\n")
        manager.delete(f"/workers/{worker}")


def test_a_name_with_two_addresses(manager, redis_of_all):
    """localhost is ::1 and 127.0.0.1 on most machines: the one that answers counts."""
    with Service(answers(200)) as service:
        enrol(manager, "localhost", f"http://localhost:{service.port}")
        assert_verdict(manager, redis_of_all, "localhost", *GOOD, code=200)


def test_a_scheme_in_capitals(manager, redis_of_all):
    with Service(answers(200)) as service:
        enrol(manager, "capitals-tcp", f"TCP://127.0.0.1:{service.port}")
        assert_verdict(manager, redis_of_all, "capitals-tcp", *GOOD, code=0)
        assert not service.asked
        enrol(manager, "capitals-http", f"HTTP://127.0.0.1:{service.port}")
        assert_verdict(manager, redis_of_all, "capitals-http", *GOOD, code=200)
        assert service.asked[0].startswith("GET /health ")


def test_tcp_target(manager, redis_of_all):
    with Service(never) as service:
        enrol(manager, "tcp", f"tcp://127.0.0.1:{service.port}")
        assert_verdict(manager, redis_of_all, "tcp", *GOOD, code=0)
        wait_outcome(manager, "tcp", "answered")
        assert not service.asked, "nothing is said to it"
    assert_verdict(manager, redis_of_all, "tcp", *GONE, code=0)


def test_a_redirect_is_not_followed(manager, redis_of_all):
    with Service(answers(200)) as elsewhere, Service(answers(302, Location=elsewhere.url)) as service:
        enrol(manager, "redirect", service.url)
        assert_verdict(manager, redis_of_all, "redirect", *SICK, code=302)
        wait_outcome(manager, "redirect", "answered", 302)
        assert not elsewhere.asked


def test_a_self_made_certificate(manager, redis_of_all, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Service(answers(200), tls=tls) as service:
        enrol(manager, "self-made", f"https://127.0.0.1:{service.port}")
        assert_verdict(manager, redis_of_all, "self-made", *GONE, code=0)
        wait_outcome(manager, "self-made", "tls_failed")
        assert not service.asked


def test_https_to_one_that_speaks_http(manager):
    with Service(answers(200), until=b"") as service:
        enrol(manager, "plain", f"https://127.0.0.1:{service.port}")
        wait_outcome(manager, "plain", "tls_failed")


def test_a_handshake_that_never_ends(manager):
    with Service(never, until=b"") as service:
        enrol(manager, "handshake", f"https://127.0.0.1:{service.port}")
        wait_outcome(manager, "handshake", "timed_out")


def test_redis_is_not_polled(manager, redis_of_all):
    for worker, url in {"redis-http": "http://127.0.0.1:%d", "redis-tcp": "tcp://127.0.0.1:%d", "redis-alias": "tcp://127.9.9.9:%d",
                        "redis-number": "http://2130706433:%d", "redis-name": "http://localhost:%d"}.items():
        enrol(manager, worker, url % redis_of_all.port)
        assert_verdict(manager, redis_of_all, worker, *GONE, code=0)
        wait_outcome(manager, worker, "blocked")


def test_only_what_is_allowed(scene, redis_server):
    manager = scene.manager(redis_server, POLL_ALLOW_CIDRS="10.0.0.0/8, 127.0.0.1", **QUICK)
    with Service(answers(200)) as allowed, Service(answers(200), host="127.0.0.2") as outside:
        enrol(manager, "allowed", allowed.url)
        enrol(manager, "outside", outside.url)
        assert_verdict(manager, redis_server, "allowed", *GOOD, code=200)
        assert_verdict(manager, redis_server, "outside", *GONE, code=0)
        wait_outcome(manager, "outside", "blocked")
        assert not outside.asked


def test_attributes_are_merged(manager):
    with Service(answers(200, {"attributes": {"zone": "b", "build": 7}, "uptime": 5})) as service:
        enrol(manager, "merged", service.url, attributes={"zone": "a", "rack": "r1"})
        row = manager.wait_row("merged", health="healthy")
        assert row["attributes"] == {"zone": "b", "rack": "r1", "build": 7}


def test_down_and_recovery(scene, redis_server):
    manager = scene.manager(redis_server, **QUICK)
    listener = Listener(redis_server)
    with Service(answers(200)) as service:
        enrol(manager, "s1", service.url)
        assert_verdict(manager, redis_server, "s1", *GOOD, code=200)
        service.behave = answers(500)
        assert_verdict(manager, redis_server, "s1", *SICK, code=500)
        service.behave = answers(200)
        assert_verdict(manager, redis_server, "s1", *GOOD, code=200)
        service.close()
        assert_verdict(manager, redis_server, "s1", *GONE, code=0)
    assert listener.channels("s1") == ["server:up", "server:down", "server:recovery", "server:down"]


def test_beats_stop_and_polls_do_not(scene, redis_server):
    """A worker that is frozen within, while its HTTP service still answers: both are said."""
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=1, **QUICK)
    scene.worker(manager, "w1", HEARTBEAT_INTERVAL=0.2, WORKER_POLL=1, WORKER_BEHAVIOUR="frozen")
    row = manager.wait_row("w1", status="not_responding", ready=True, health="healthy", serving=False)
    assert row["reason"] == "heartbeat_timeout" and row["beats"]
    silent, = [entry for entry in manager.get("/workers/w1/timeline").json()["transitions"]
               if entry["status"] == "not_responding" and entry["previous"] != "not_responding"]
    assert silent["evidence"]["poll_code"] == 200 and silent["evidence"]["silence"] > 1


def test_a_manager_that_was_stopped_itself_condemns_nobody(scene, redis_server):
    """The answer came in time and lay there unread: libcurl alone would call that a timeout."""
    manager = scene.manager(redis_server, **{**QUICK, "POLL_FALL": 1})
    with Service(never) as service:
        enrol(manager, "s1", service.url)
        wait_for("a poll is under way", lambda: service.asked)
        manager.freeze()
        service.behave = answers(200)
        service.ended.set()  # of the one that is under way: its connection just ends
        service.ended.clear()
        waited = stopwatch()
        wait_for("its time is over", lambda: waited() > 2 * QUICK["POLL_TIMEOUT"])
        manager.thaw()
        manager.wait_row("s1", health="healthy")
    assert not manager.events("polled", worker="s1", outcome="timed_out")
