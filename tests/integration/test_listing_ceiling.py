"""Large listings. Readers that ask for them and do not read: what they hold has a ceiling, and room comes back."""
import gzip
import json
import signal
import socket

import pytest

from clients import RawHttp, request
from waiting import wait_for

CEILING_BYTES = 256 * 1024 * 1024
WORKERS = 2600
NOTE = "x" * 255
BROWSER = "text/html,*/*;q=0.8"


def fill(redis_server):
    """Rows of the manager to be, some 8 KiB each: more quickly there than by registering."""
    attributes = {f"note{place:02}": NOTE for place in range(30)}
    pipe = redis_server.client.pipeline(transaction=False)
    for place in range(WORKERS):
        pipe.hset("workers", f"w{place:05}", json.dumps({
            "worker_id": f"w{place:05}", "worker_name": "big", "host": "127.0.0.1", "port": 9000, "status": "registered",
            "last_heartbeat": None, "since": "2026-11-20T19:00:00.000Z", "reason": "registered", "serving": False,
            "announced": "none", "ready": False, "health": "unknown", "attributes": attributes, "metrics": {},
            "heartbeat_timeout": 3600, "manager": "m1", "epoch": 1, "seq": place + 1}))
    pipe.execute()


@pytest.fixture
def manager(scene, redis_server):
    fill(redis_server)
    manager = scene.manager(redis_server, HEARTBEAT_TIMEOUT=3600)
    wait_for("all rows are loaded", lambda: manager.get("/").json()["workers"] == WORKERS)
    return manager


class SlowReader(RawHttp):
    """Asks, and takes only what its small buffer takes by itself."""

    def __init__(self, manager, headers):
        super().__init__(manager)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.send(request("GET", "/workers", b"", headers))
        self.buffered = self.sock.recv(64)
        self.status = int(self.buffered.split()[1])


@pytest.mark.parametrize("headers", [{}, {"Accept": BROWSER}], ids=["as it is", "indented"])
def test_slow_readers_are_held_to_a_ceiling(manager, headers):
    size = int(manager.http.head(manager.url + "/workers", headers={"Accept-Encoding": "identity"}).headers["Content-Length"])
    readers, most = [], CEILING_BYTES // size + 3
    while len(readers) < most:
        manager.register("w00000", port=9001 + len(readers))  # another version
        readers.append(SlowReader(manager, headers))
        if readers[-1].status != 200:
            break
    held = len(readers) - 1
    print(f"{held} readers held versions of {size} bytes each before one was refused")
    assert readers[-1].status == 503
    assert held * size >= CEILING_BYTES - 4 * size, "refused too early"

    refused = manager.get("/workers?limit=10")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "slow readers" in refused.json()["error"]
    assert manager.get("/workers/w00001").status_code == 200  # what is small is not refused
    assert manager.get("/livez").status_code == 200
    manager.register("w00001", port=9001)  # what matters goes on

    for reader in readers:
        reader.sock.close()
    wait_for("listings again", lambda: manager.get("/workers?limit=10").status_code == 200)
    assert len(manager.rows()) == WORKERS


def test_a_slow_reader_that_reads_on_gets_it_whole(manager):
    with RawHttp(manager) as reader:
        reader.send(request("GET", "/workers"))
        reader.buffered = reader.sock.recv(64)
        manager.register("w00000", port=9999)
        body = json.loads(reader.answer().body)
    assert len(body) == WORKERS and body["w00000"]["port"] == 9000, "as it was when it asked"


def test_readers_that_leave_while_theirs_is_compressed(manager):
    for turn in range(5):
        manager.register("w00000", port=9001 + turn)
        lines = [RawHttp(manager) for _ in range(4)]
        for line in lines:
            line.send(request("GET", "/workers", b"", {"Accept-Encoding": "gzip"}))
        for line in lines[:-1]:
            line.sock.close()
        answer = lines[-1].answer()
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.body))["w00000"]["port"] == 9001 + turn
        lines[-1].sock.close()


def test_a_stop_while_readers_wait_for_a_compression(manager):
    """It takes longer than the stop: their connections end first, then the work, then the program."""
    lines = [RawHttp(manager) for _ in range(4)]
    for line in lines:
        line.send(request("GET", "/workers", b"", {"Accept-Encoding": "gzip", "Accept": BROWSER}))
    assert manager.get("/livez").status_code == 200  # so theirs have come in
    manager.signal(signal.SIGTERM)
    for line in lines:
        answer = line.answer()
        assert answer is None or answer.status in (200, 503)
        line.sock.close()
    assert manager.wait() == 0
