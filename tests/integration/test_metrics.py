"""GET /metrics: which format who gets, what the figures say of what happened, and that promtool accepts them."""
import gzip
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest
import requests

from clients import Peer, RawHttp, request
from waiting import stopwatch, wait_for

PROMETHEUS_2_42 = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json; charset=utf-8"
NAP_S, LATE_S = 1, 0.25  # the manager's timer fires at least so often; what is later than that is a stall
CROWD = 8500
WAITING = 64  # long answers that wait at most
HEAVY, CEILING_BYTES = 800, 256 << 20
HOSTILE = 'a"b\\c {x="1"} # HELP é\u2028'


@pytest.fixture(scope="module")
def manager(module_scene):
    return module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=3600)


@pytest.fixture(scope="module")
def text_manager(module_scene):
    """One whose default is the other format, and whose Redis is not there."""
    return module_scene.manager(METRICS_DEFAULT_FORMAT="Prometheus", METRICS_PER_WORKER=1)


def fetch(manager, path="/metrics", **headers):
    with RawHttp(manager) as http:
        http.send(request("GET", path, b"", {name.replace("_", "-"): value for name, value in headers.items()}))
        return http.answer()


def figures(manager, query="format=prometheus"):
    """Every sample of the manager as it is now: `name{labels}` to number."""
    answer = fetch(manager, f"/metrics?{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, TEXT)
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert len(samples) == len(lines), "a sample comes twice"
    return samples


# ---- which format ----

@pytest.mark.parametrize("accept, json_default, text_default", [
    (None, JSON, TEXT),
    ("", JSON, TEXT),
    ("*/*", JSON, TEXT),
    ("*/*;q=0.1", JSON, TEXT),
    (BROWSER, JSON, TEXT),
    ("image/png", JSON, TEXT),
    ("text/plain;q=0, application/json;q=0", JSON, TEXT),
    (PROMETHEUS_2_42, TEXT, TEXT),
    ("text/plain", TEXT, TEXT),
    ("TEXT/Plain", TEXT, TEXT),
    ("text/*", TEXT, TEXT),
    ("text/plain;version=0.0.4", TEXT, TEXT),
    ("text/plain;version=0.0.4;q=0.001", TEXT, TEXT),
    ("text/plain, */*;q=0.01", TEXT, TEXT),
    ("text/plain, */*", TEXT, TEXT),
    ("application/openmetrics-text", TEXT, TEXT),
    ("application/openmetrics-text; version=1.0.0; charset=utf-8", TEXT, TEXT),
    ("application/openmetrics-text;q=0.9, application/json;q=0.8", TEXT, TEXT),
    ("application/json;q=0.9, text/plain", TEXT, TEXT),
    ("application/json;q=0, */*", TEXT, TEXT),
    ("application/json", JSON, JSON),
    ("application/json, text/plain", JSON, JSON),
    ("application/json, text/plain, */*", JSON, JSON),
    ("application/json;q=0.5, text/plain;q=0.4", JSON, JSON),
    ("text/plain;q=0.499, application/json;q=0.5", JSON, JSON),
    ("text/plain;q=0, */*;q=0.3", JSON, JSON),
    ("application/*", JSON, JSON),
    ("application/*;q=0.8, text/plain;q=0.5", JSON, JSON),
    ("text/plain;q=1.5, application/json;q=0.2", JSON, JSON),
    ("text/plain;q=x, application/json;q=0.2", JSON, JSON),
    ('text/html;a=",text/plain,", application/json;q=0.2', JSON, JSON),
    ("application/openmetrics-text;q=0.1, application/json;q=0.2", JSON, JSON),
])
def test_accept(manager, text_manager, accept, json_default, text_default):
    for one, expected in ((manager, json_default), (text_manager, text_default)):
        answer = fetch(one, Accept=accept)
        assert answer.status == 200
        assert answer.headers["content-type"] == expected, f"Accept: {accept}"
        assert "accept" in [word.strip().lower() for word in answer.headers["vary"].split(",")]


@pytest.mark.parametrize("query, accept, expected", [
    ("format=prometheus", "application/json", TEXT), ("format=json", PROMETHEUS_2_42, JSON),
    ("per_worker=0", "text/plain", TEXT), ("", "*/*", JSON), ("&", "*/*", JSON)])
def test_the_query_wins(manager, query, accept, expected):
    assert fetch(manager, f"/metrics?{query}", Accept=accept).headers["content-type"] == expected


@pytest.mark.parametrize("query, said", [
    ("format=xml", 'format: "xml" is not a format; it must be prometheus or json'),
    ("format=", 'format: "" is not a format; it must be prometheus or json'),
    ("format=json&format=json", 'format: "json" comes a second time; it must be given at most once'),
    ("per_worker=true", 'per_worker: "true" is neither; it must be 1 or 0'),
    ("worker=1", 'query: "worker" is not a parameter here; it must be one of format, per_worker'),
    ("format=" + "x" * 3000, 'query: "?" is not a parameter here; it must be one of format, per_worker')])
def test_a_broken_rule_is_422_with_its_sentence(manager, query, said):
    answer = fetch(manager, f"/metrics?{query}", Accept="text/plain")
    assert answer.status == 422
    assert json.loads(answer.body) == {"status": "error", "error": said}


@pytest.mark.parametrize("path", ["/metrics", "/sd/prometheus"])
def test_methods(manager, path):
    assert manager.post(path).status_code == 405
    with RawHttp(manager) as http:
        http.send(request("HEAD", path))
        assert (http.answer(head=True).status, http.buffered) == (200, b"")


def test_gzip(manager):
    """As Prometheus asks for it."""
    answer = fetch(manager, Accept=PROMETHEUS_2_42, Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body).startswith(b"# HELP heartbeat_manager_")


def test_a_browser_gets_it_indented(manager):
    manager.register("indented")
    answer = fetch(manager, Accept=BROWSER)
    assert b'\n  "indented": {\n    "ready": false,' in answer.body
    manager.delete("/workers/indented")


# ---- what it says ----

def test_json_of_workers(manager):
    """The members of the small polling monitor, with the same types whatever is known."""
    manager.register("beating", attributes={"env": "prod", "n": 1.5})
    manager.post("/workers/beating/heartbeat", {"requests": 8, "errors": 2})
    manager.register("silent")
    rows = json.loads(fetch(manager, Accept="application/json").body)
    for row in rows.values():
        assert {name: type(value) for name, value in row.items() if name != "last_checked_age"}.items() >= {
            "ready": bool, "health": str, "attributes": dict, "request_count": int, "error_count": int}.items()
        assert isinstance(row["uptime"], (int, float)) and isinstance(row["error_rate"], (int, float))
        assert row["last_checked_age"] is None and row["polled"] is False
    row = rows["beating"]
    assert (row["request_count"], row["error_count"], row["error_rate"]) == (8, 2, 0.25)
    assert row["attributes"] == {"env": "prod", "n": 1.5}
    assert (row["health"], row["status"], row["serving"]) == ("unknown", "alive", True)
    assert (rows["silent"]["status"], rows["silent"]["request_count"]) == ("registered", 0)
    for worker in ("beating", "silent"):
        manager.delete(f"/workers/{worker}")


def test_counting(manager):
    """Each figure moves by what was done, and by no more."""
    before = figures(manager)
    manager.register("counted")
    peer = Peer(manager, "counted")
    for _ in range(3):
        peer.beat()
    wait_for("three heartbeats", lambda: figures(manager)["heartbeat_manager_beats_total"]
             == before["heartbeat_manager_beats_total"] + 3)
    during = figures(manager)
    newer = Peer(manager, "counted")
    newer.beat()
    wait_for("a takeover", lambda: figures(manager)["heartbeat_manager_takeovers_total"]
             == before["heartbeat_manager_takeovers_total"] + 1)
    newer.goodbye()
    manager.wait_row("counted", status="disconnected")
    manager.delete("/workers/counted")
    after = figures(manager)

    def moved(name, to=after):
        return to["heartbeat_manager_" + name] - before["heartbeat_manager_" + name]

    assert (moved("connections", during), moved("workers_serving", during)) == (1, 1)
    assert moved('workers{status="alive"}', during) == 1
    assert moved("beat_interval_seconds_count", during) == 2  # the first one follows no other
    assert moved('beat_interval_seconds_bucket{le="+Inf"}') == moved("beat_interval_seconds_count")
    assert (moved("connections"), moved("beats_total")) == (0, 4)
    assert moved('transitions_total{reason="goodbye"}') == moved('transitions_total{reason="removed"}') == 1
    assert moved('announcements_total{channel="server:up"}') == 1
    assert moved('announcements_total{channel="server:down"}') == 1


def test_bad_messages(manager):
    before = figures(manager)["heartbeat_manager_bad_messages_total"]
    peer = Peer(manager, "bad")
    peer.ws.send("no heartbeat")
    wait_for("it is counted", lambda: figures(manager)["heartbeat_manager_bad_messages_total"] == before + 1)
    peer.goodbye()


def test_detection_delay(scene):
    manager = scene.manager(HEARTBEAT_TIMEOUT=0.3)
    manager.register("w1")
    manager.get("/workers/w1/heartbeat")
    manager.wait_row("w1", status="not_responding")
    seen = figures(manager)
    assert seen["heartbeat_manager_detection_delay_seconds_count"] == 1
    assert seen["heartbeat_manager_detection_delay_seconds_sum"] > 0
    assert seen['heartbeat_manager_transitions_total{reason="heartbeat_timeout"}'] == 1


def test_redis(manager, text_manager):
    def settled():
        seen = figures(manager)
        return seen if seen["heartbeat_manager_redis_round_trip_seconds_count"] > 0 else None
    seen = wait_for("a round trip", settled)
    assert (seen["heartbeat_manager_redis_up"], seen["heartbeat_manager_redis_in_step"]) == (1, 1)
    assert seen["heartbeat_manager_redis_commands_total"] > 0
    assert seen["heartbeat_manager_redis_round_trip_seconds_sum"] > 0
    seen = figures(text_manager)
    assert (seen["heartbeat_manager_redis_up"], seen["heartbeat_manager_redis_in_step"]) == (0, 0)
    assert seen["heartbeat_manager_redis_round_trip_seconds_count"] == 0


def test_redis_that_goes_away(scene):
    redis_server = scene.redis()
    manager = scene.manager(redis_server)
    assert figures(manager)["heartbeat_manager_outbox_events"] == 0
    redis_server.kill()
    wait_for("Redis is missed", lambda: figures(manager)["heartbeat_manager_redis_up"] == 0)
    manager.register("w1")
    assert figures(manager)["heartbeat_manager_outbox_events"] == 1
    redis_server.start()
    wait_for("all is stored", lambda: figures(manager)["heartbeat_manager_outbox_events"] == 0)
    assert figures(manager)["heartbeat_manager_redis_in_step"] == 1


def test_a_stall(scene):
    """The manager that was stopped says so, and how late its timer was."""
    manager = scene.manager()
    assert figures(manager)["heartbeat_manager_stalls_total"] == 0
    manager.freeze()
    stopped = stopwatch()
    wait_for("its timer is overdue by far", lambda: stopped() > NAP_S + 2 * LATE_S)
    manager.thaw()
    wait_for("it notices its own absence", lambda: figures(manager)["heartbeat_manager_stalls_total"] == 1)
    seen = figures(manager)
    assert seen["heartbeat_manager_loop_lag_seconds_count"] \
        - seen['heartbeat_manager_loop_lag_seconds_bucket{le="0.25"}'] == 1
    assert seen["heartbeat_manager_loop_lag_seconds_sum"] > LATE_S


def test_the_process(manager):
    seen = figures(manager)
    assert seen["process_cpu_seconds_total"] > 0
    assert seen["process_resident_memory_bytes"] > 1 << 20
    descriptors = seen.get("process_open_fds", len(os.listdir(f"/proc/{manager.pid}/fd")))  # not before Linux 6.2
    assert 0 < descriptors <= seen["process_max_fds"]
    with open(f"/proc/{manager.pid}/stat", encoding="ascii") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="ascii") as uptime:
        since_boot = float(uptime.read().split()[0])
    started = time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")
    assert abs(seen["process_start_time_seconds"] - started) < 5


# ---- series of each worker ----

def test_per_worker_on_request_only(manager, text_manager):
    manager.register("w1", worker_name="W 1")
    manager.get("/workers/w1/heartbeat")
    labels = '{worker_id="w1",worker_name="W 1"}'
    assert not any(name.startswith("heartbeat_worker_") for name in figures(manager))
    seen = figures(manager, "format=prometheus&per_worker=1")
    assert (seen["heartbeat_worker_up" + labels], seen["heartbeat_worker_serving" + labels]) == (1, 1)
    assert seen["heartbeat_worker_last_heartbeat_age_seconds" + labels] < 60
    assert "heartbeat_worker_ready" + labels not in seen  # it is not polled
    manager.delete("/workers/w1")
    text_manager.register("w1", worker_name="W 1")
    assert figures(text_manager, "")["heartbeat_worker_up" + labels] == 0
    assert not any(name.startswith("heartbeat_worker_") for name in figures(text_manager, "per_worker=0"))
    text_manager.delete("/workers/w1")


def promtool(*arguments, stdin=None):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (deploy/packages.sh test)")
    return subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, timeout=60, check=False)


def test_promtool_accepts_it(manager):
    """With names that try to break out of their labels."""
    names = [HOSTILE, '"} 1', "\\", '\\"', "\\n", "{}", "ü" * 64]
    for place, name in enumerate(names):
        manager.register(f"hostile:{place}._-", worker_name=name)
        manager.post(f"/workers/hostile:{place}._-/heartbeat", {"requests": 3, "errors": 1})
    text = fetch(manager, "/metrics?format=prometheus&per_worker=1").body
    checked = promtool("check", "metrics", stdin=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    ups = re.findall(r'^heartbeat_worker_up\{worker_id="hostile:(\d)\._-",worker_name="((?:[^"\\\n]|\\.)*)"\} 1$',
                     text.decode(), re.MULTILINE)
    assert [(int(place), re.sub(r"\\(.)", lambda at: "\n" if at[1] == "n" else at[1], name)) for place, name in ups] \
        == list(enumerate(names))
    # That it would have said something otherwise:
    assert promtool("check", "metrics", stdin=text + b"broken{ 1\n").returncode != 0
    for place in range(len(names)):
        manager.delete(f"/workers/hostile:{place}._-")


# ---- many ----

def test_large_ones_are_compressed_and_whole(scene):
    """More than is compressed in one go on the loop."""
    manager = scene.manager(METRICS_PER_WORKER=1)
    for place in range(400):
        manager.register(f"w{place:03}")
    plain = fetch(manager, "/metrics?format=prometheus").body
    assert len(plain) > 65536
    http = requests.Session()
    http.trust_env = False
    packed = http.get(manager.url + "/metrics", headers={"Accept": "text/plain", "Accept-Encoding": "gzip"}, timeout=10)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text.count("heartbeat_worker_up{") == plain.decode().count("heartbeat_worker_up{") == 400
    assert list(http.get(manager.url + "/metrics", timeout=10).json()) == [f"w{place:03}" for place in range(400)]
    http.close()


@pytest.fixture(scope="module")
def crowded(module_scene):
    """More workers than are visited in one turn of the loop, twice over."""
    manager = module_scene.manager(module_scene.redis(), METRICS_PER_WORKER=1, HEARTBEAT_TIMEOUT=3600)
    with RawHttp(manager) as http:
        for place in range(CROWD):
            http.send(request("GET", f"/workers/w{place:05}/heartbeat"))
            assert http.answer().status == 200
        http.send(request("POST", "/register", b'{"worker_id":"x","host":"10.0.0.1","port":80}'))
        assert http.answer().status == 200
    return manager


LONG_ONES = ["/metrics?format=json", "/metrics?format=prometheus", "/sd/prometheus", "/metrics?format=json"]


def test_long_answers_beside_one_another(crowded):
    """They are made one after the other, and others are served meanwhile."""
    readers = [RawHttp(crowded) for _ in LONG_ONES]
    for reader, path in zip(readers, LONG_ONES):
        reader.send(request("GET", path))
    assert crowded.get("/livez").status_code == 200
    rows, text, targets, again = (reader.answer().body for reader in readers)
    ids = [f"w{place:05}" for place in range(CROWD)] + ["x"]
    assert list(json.loads(rows)) == list(json.loads(again)) == ids
    assert re.findall(r'^heartbeat_worker_up\{worker_id="([^"]+)"', text.decode(), re.MULTILINE) == ids
    assert [group["labels"]["worker_id"] for group in json.loads(targets)] == ["x"]
    for reader in readers:
        reader.sock.close()


def test_who_asks_and_leaves(crowded):
    """Every other one, before it has read anything; whoever stays gets the whole."""
    readers = [RawHttp(crowded) for _ in range(12)]
    for place, reader in enumerate(readers):
        reader.send(request("GET", LONG_ONES[place % len(LONG_ONES)]))
    for reader in readers[::2]:
        reader.sock.close()
    for reader in readers[1::2]:
        assert reader.answer().status == 200
        reader.sock.close()
    assert crowded.get("/livez").status_code == 200


def ask_at_once(manager, path, count, then=()):
    """That many who ask for one path, and then others, all before the manager looks at any of them; as connections."""
    lines = [RawHttp(manager) for _ in range(count + len(then))]
    for line in lines:
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read stays with the manager
        line.send(request("GET", "/livez"))
        assert line.answer().status == 200
    manager.freeze()
    wait_for("it is stopped", lambda: " T " in pathlib.Path(f"/proc/{manager.pid}/stat").read_text(encoding="ascii"))
    for line, its_path in zip(lines, [path] * count + list(then)):
        line.send(request("GET", its_path))
    manager.thaw()
    return lines


def test_too_many_who_wait(crowded):
    """Whoever finds the queue full is told at once when to come back; all others get the whole."""
    readers = ask_at_once(crowded, "/metrics?format=prometheus&per_worker=0", 2 * WAITING)
    answers = [reader.answer() for reader in readers]
    refused = [answer for answer in answers if answer.status == 503]
    print(f"{len(refused)} of {len(answers)} were refused")
    assert 0 < len(refused) <= len(answers) - WAITING
    assert {answer.status for answer in answers} == {200, 503}
    for answer in refused:
        assert int(answer.headers["retry-after"]) > 0 and "wait" in json.loads(answer.body)["error"]
    for reader in readers:
        reader.sock.close()
    assert fetch(crowded, "/metrics?format=prometheus&per_worker=0").status == 200  # places come back


def test_those_who_wait_together_are_held_to_the_ceiling(crowded):
    """All ask before any answer is made, and none reads: memory has its ceiling all the same."""
    heavy = [f"heavy{place}" for place in range(HEAVY)]
    for worker in heavy:
        crowded.register(worker, attributes={f"note{place:02}": "x" * 255 for place in range(30)})
    size = len(fetch(crowded, "/metrics?format=json").body)
    fit = CEILING_BYTES // size + 1  # the last one passes it
    readers = ask_at_once(crowded, "/metrics?format=json", fit + 5)
    assert len(readers) <= WAITING
    for reader in readers:
        reader.buffered = reader.sock.recv(4096)
    statuses = [int(reader.buffered.split()[1]) for reader in readers]
    print(f"{statuses.count(200)} of {len(readers)} were given {size} bytes each")
    assert statuses == [200] * fit + [503] * 5
    answer = readers[-1].answer()
    assert int(answer.headers["retry-after"]) > 0 and "slow readers" in json.loads(answer.body)["error"]
    for reader in readers:
        reader.sock.close()
    wait_for("room again", lambda: fetch(crowded, "/metrics?format=json").status == 200)
    for worker in heavy:
        crowded.delete(f"/workers/{worker}")


def test_a_stop_in_the_middle(crowded):
    """Last, because it ends the crowd: a clean exit while most answers are still to be made, and nothing leaks."""
    def stored():
        seen = figures(crowded, "format=prometheus&per_worker=0")
        return seen["heartbeat_manager_outbox_events"] == seen["heartbeat_manager_dirty_rows"] == 0
    wait_for("nothing keeps the manager from stopping", stored)
    readers = [RawHttp(crowded) for _ in range(60)]
    for reader in readers:
        reader.send(request("GET", "/metrics?format=json"))
    assert readers[0].answer().status == 200
    crowded.stop()
    assert not crowded.complaints()
    answers = [reader.answer() for reader in readers[1:]]
    print(f"{sum(answer is not None for answer in answers)} of {len(answers)} were answered before the end")
    assert None in answers
    for reader in readers:
        reader.sock.close()
