"""Whatever a stranger put into the hash `workers` before the manager starts: every line of bad_rows.txt."""
import pytest
import redis

from bad_inputs import ENVIRONMENT, Watch, failures_of, read_table, unescaped
from waiting import wait_for

TABLE = read_table("bad_rows.txt", 4)
LINES = [line for lines in TABLE.values() for line in lines]
OURS = '"status":"alive","manager":"m1","epoch":1795203000000,"seq":7'


def field_of(line):
    return unescaped(line.columns[2])


def value_of(line):
    return unescaped(line.columns[3].replace("<ours>", OURS))


class Hash:
    """The hash `workers` as bytes."""

    def __init__(self, redis_server):
        self.client = redis.Redis(host="127.0.0.1", port=redis_server.port, socket_timeout=10)

    def fill(self):
        self.client.hset("workers", mapping={field_of(line): value_of(line) for line in LINES})

    def read(self):
        return self.client.hgetall("workers")


@pytest.fixture(scope="module")
def strange_hash(module_scene):
    strange_hash = Hash(module_scene.redis())
    strange_hash.fill()
    return strange_hash


@pytest.fixture(scope="module")
def manager(module_scene, strange_hash):
    redis_server = module_scene.processes[0]
    return module_scene.manager(redis_server, HEARTBEAT_TIMEOUT=3600, RESTART_GRACE=3600, **ENVIRONMENT)


def judge(line, listed, stored):
    field = field_of(line).decode("utf-8", "replace")
    if line.columns[1] == "alone":
        assert field not in listed, f"listed: {listed[field]}"
        assert stored[field_of(line)] == value_of(line), f"changed to {stored[field_of(line)][:200]}"
    else:
        assert field in listed, "not listed"


def check(manager, strange_hash):
    listed, stored = manager.rows(), strange_hash.read()
    failures_of(LINES, lambda line: judge(line, listed, stored))
    assert len(listed) == sum(line.columns[1] == "restored" for line in LINES)


def test_fields_are_distinct():
    assert len({field_of(line) for line in LINES}) == len(LINES)


def test_at_the_start(manager, strange_hash):
    check(manager, strange_hash)
    good = manager.row("good-1")
    assert (good["worker_name"], good["host"], good["port"], good["unverified"]) == ("Good 1", "localhost", 8007, True)
    loaded = manager.events("workers_loaded")[-1]
    assert int(loaded["foreign"]) == sum(line.columns[1] == "alone" for line in LINES)
    print({section: len(lines) for section, lines in TABLE.items()}, f"{len(LINES)} rows in all")


def test_when_the_hash_is_written_whole(manager, strange_hash):
    """Redis lost what it knew of this manager: its own rows are compared and written again, the others are not."""
    strange_hash.client.delete("workers:meta")
    wait_for("it repairs", lambda: manager.events("workers_compared"))
    manager.wait_answer("/readyz")
    check(manager, strange_hash)


def test_when_a_worker_takes_such_an_id(manager, strange_hash):
    """From then on it is a row of this manager; its neighbours stay what they are."""
    watch = Watch(manager)
    assert manager.post("/register", {"worker_id": "nj-3"}).json()["persisted"] is True
    assert b'"manager":"m1"' in strange_hash.read()[b"nj-3"]
    assert manager.delete("/workers/nj-3").status_code == 200
    wait_for("its row is gone", lambda: b"nj-3" not in strange_hash.read())
    strange_hash.client.hset("workers", b"nj-3", b"alive")
    watch.check()
    check(manager, strange_hash)


def test_start_after_start(manager, strange_hash):
    for _ in range(3):
        manager.stop()
        assert not manager.complaints()
        manager.start()
        manager.wait_answer("/readyz")
        check(manager, strange_hash)
