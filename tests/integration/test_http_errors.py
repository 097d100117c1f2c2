"""Everything a client can get wrong over HTTP: the right status, one sentence as JSON, and a manager that goes on."""
import json

import pytest

from clients import RawHttp, request
from waiting import wait_for

BODY_MAX = 16384


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
    assert "w1" in manager.rows()


def sentence_of(answer):
    """The error of an answer, which must be JSON of the one shape, and one sentence."""
    assert answer.headers["content-type"].startswith("application/json")
    body = json.loads(answer.body)
    assert body["status"] == "error"
    assert len(body["error"]) > 10 and "\n" not in body["error"]
    assert set(body) == {"status", "error"}
    return body["error"]


NOT_JSON = {
    "empty": b"", "a brace": b"{", "cut in a string": b'{"worker_id":"a', "single quotes": b"{'worker_id':'a'}",
    "a word": b"nope", "NaN": b'{"worker_id":"a","port":NaN}', "Infinity": b'{"worker_id":"a","port":Infinity}',
    "more after the end": b'{"worker_id":"a"} x', "two documents": b'{"worker_id":"a"}{}',
    "a duplicate key": b'{"worker_id":"a","worker_id":"b"}',
    "a duplicate key in disguise": b'{"worker_id":"a","worker\\u005fid":"b"}',
    "nine levels": b'{"worker_id":"a","x":[[[[[[[[1]]]]]]]]}', "a NUL escape": b'{"worker_id":"a","worker_name":"\\u0000"}',
    "a NUL byte": b'{"worker_id":"a\x00"}', "a lone surrogate": b'{"worker_id":"a","worker_name":"\\ud800"}',
    "bad UTF-8": b'{"worker_id":"a","worker_name":"\xff\xfe"}', "overlong UTF-8": b'{"worker_id":"a","worker_name":"\xc0\xaf"}',
    "a comma at the end": b'{"worker_id":"a",}', "a comment": b'{"worker_id":"a"/**/}', "a leading zero": b'{"worker_id":"a","port":01}',
    "a plus": b'{"worker_id":"a","port":+1}', "a raw line feed": b'{"worker_id":"a","worker_name":"x\ny"}',
    "an unknown escape": b'{"worker_id":"a","worker_name":"\\x41"}', "no quotes": b"{worker_id:1}",
    "a byte order mark": b'\xef\xbb\xbf{"worker_id":"a"}', "true in capitals": b'{"worker_id":"a","port":TRUE}',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_not_json_is_400(manager, body):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", body, {"Content-Type": "application/json", "Content-Length": len(body)}))
        answer = http.answer()
    assert answer.status == 400
    sentence_of(answer)


# (the fields sent, the field that the sentence must name)
WRONG_SHAPE = [
    ({}, "worker_id"), ({"worker_name": "a"}, "worker_id"), ({"worker_id": 7}, "worker_id"), ({"worker_id": None}, "worker_id"),
    ({"worker_id": ""}, "worker_id"), ({"worker_id": "a" * 65}, "worker_id"), ({"worker_id": "a b"}, "worker_id"),
    ({"worker_id": "a/b"}, "worker_id"), ({"worker_id": "ä"}, "worker_id"), ({"id": "a", "worker_id": "b"}, "id"),
    ({"id": ["a"]}, "id"),
    ({"worker_name": "n" * 129}, "worker_name"), ({"worker_name": "bell\u0007"}, "worker_name"), ({"worker_name": 1}, "worker_name"),
    ({"port": 0}, "port"), ({"port": 65536}, "port"), ({"port": -1}, "port"), ({"port": 80.5}, "port"), ({"port": "http"}, "port"),
    ({"port": True}, "port"), ({"port": 10**30}, "port"),
    ({"host": 1}, "host"), ({"host": "h" * 256}, "host"), ({"host": "a b"}, "host"), ({"host": "a\nb"}, "host"),
    ({"heartbeat_timeout": 0}, "heartbeat_timeout"), ({"heartbeat_timeout": 0.09}, "heartbeat_timeout"),
    ({"heartbeat_timeout": 86401}, "heartbeat_timeout"), ({"heartbeat_timeout": -5}, "heartbeat_timeout"),
    ({"heartbeat_timeout": "15"}, "heartbeat_timeout"), ({"heartbeat_timeout": 1e400}, "heartbeat_timeout"),
    ({"heartbeat_interval": -1}, "heartbeat_interval"), ({"heartbeat_interval": []}, "heartbeat_interval"),
    ({"poll_interval_sec": "often"}, "poll_interval_sec"), ({"poll_interval_sec": -1}, "poll_interval_sec"),
    ({"url": 1}, "url"), ({"url": "localhost:9001"}, "url"), ({"url": "ftp://a/"}, "url"), ({"url": "http://"}, "url"),
    ({"url": "http://a/" + "u" * 2048}, "url"),
    ({"attributes": []}, "attributes"), ({"attributes": {"a": {}}}, "attributes"), ({"attributes": {"a": [1]}}, "attributes"),
    ({"attributes": {"a": None}}, "attributes"), ({"attributes": {"a": "v" * 257}}, "attributes"),
    ({"attributes": {str(place): 1 for place in range(33)}}, "attributes"),
]


@pytest.mark.parametrize("fields, named", WRONG_SHAPE, ids=lambda value: json.dumps(value)[:50])
def test_wrong_shape_is_422_and_names_the_field(manager, fields, named):
    if named not in ("worker_id", "id"):
        fields = {"worker_id": "shape", **fields}
    body = json.dumps(fields).replace("Infinity", "1e400").encode()
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", body))
        answer = http.answer()
    assert answer.status == 422, answer
    assert named in sentence_of(answer)
    assert "shape" not in manager.rows(), "a refused registration leaves no trace"


@pytest.mark.parametrize("body", ["[]", '"text"', "1", "null", "true"])
def test_not_an_object_is_422(manager, body):
    for path in ("/register", "/workers/w1/heartbeat"):
        with RawHttp(manager) as http:
            http.send(request("POST", path, body.encode()))
            answer = http.answer()
        assert answer.status == 422, path
        sentence_of(answer)


BAD_BEATS = [
    (b"{", 400), (b'{"metrics":[]}', 422), (b'{"metrics":{"cpu":"high"}}', 422), (b'{"requests":-1}', 422),
    (b'{"status":7}', 422), (json.dumps({"metrics": {str(place): place for place in range(17)}}).encode(), 422),
]


@pytest.mark.parametrize("body, status", BAD_BEATS)
def test_bad_beats(manager, body, status):
    with RawHttp(manager) as http:
        http.send(request("POST", "/workers/w1/heartbeat", body))
        answer = http.answer()
    assert answer.status == status
    sentence_of(answer)
    assert manager.row("w1")["status"] != "alive", "what is refused is not a beat"


# (method, path, status)
NOT_THERE = [
    ("GET", "/nope", 404), ("GET", "/register/", 404), ("GET", "/workers/none", 404),
    ("GET", "/workers/w1/nope", 404), ("DELETE", "/workers/none", 404), ("GET", "/workers/w1/heartbeat/x", 404),
    ("POST", "/nope", 404), ("GET", "/workersx", 404), ("GET", "/../etc/passwd", 404), ("GET", "/WORKERS", 404),
    ("POST", "/workers", 405), ("DELETE", "/workers", 405), ("GET", "/register", 405), ("PUT", "/register", 405),
    ("DELETE", "/register", 405), ("POST", "/livez", 405), ("PUT", "/workers/w1", 405), ("POST", "/workers/w1", 405),
    ("DELETE", "/workers/w1/heartbeat", 405), ("POST", "/", 405), ("DELETE", "/readyz", 405), ("PATCH", "/workers", 405),
]


@pytest.mark.parametrize("method, path, status", NOT_THERE)
def test_unknown_path_and_wrong_method(manager, method, path, status):
    with RawHttp(manager) as http:
        http.send(request(method, path))
        answer = http.answer()
    assert answer.status == status, answer
    sentence_of(answer)
    assert ("allow" in answer.headers) == (status == 405)
    if status == 405:
        assert method not in answer.headers["allow"].replace(" ", "").split(",")


def test_body_limits(manager):
    just_right = json.dumps({"worker_id": "big", "ignored": ""})
    just_right = just_right.replace('""', '"' + "x" * (BODY_MAX - len(just_right)) + '"').encode()
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", just_right))
        assert http.answer().status == 200
    for size, statuses in ((BODY_MAX + 1, [413]), (10**9, [413]), (10**20, [400, 413])):
        with RawHttp(manager) as http:
            http.send(request("POST", "/register", b"", {"Content-Type": "application/json", "Content-Length": str(size)}))
            http.send(b"x" * min(size, BODY_MAX + 1))
            answer = http.answer()
        assert answer.status in statuses, size
        sentence_of(answer)


@pytest.mark.parametrize("method, path, status", [
    ("POST", "/register", 411), ("POST", "/workers/w1/heartbeat", 411)])
def test_chunked_is_411(manager, method, path, status):
    with RawHttp(manager) as http:
        http.send(request(method, path, b"", {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))
        http.send(b"2\r\n{}\r\n0\r\n\r\n")
        answer = http.answer()
    assert answer.status == status
    sentence_of(answer)


@pytest.mark.parametrize("content_type", ["text/html", "image/png", "multipart/form-data; boundary=x", "application/xml"])
def test_wrong_type_is_415(manager, content_type):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b'{"worker_id":"a"}', {"Content-Type": content_type}))
        answer = http.answer()
    assert answer.status == 415
    sentence_of(answer)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", None])
def test_right_type(manager, content_type):
    with RawHttp(manager) as http:
        http.send(request("POST", "/register", b'{"worker_id":"typed"}', {"Content-Type": content_type}))
        assert http.answer().status == 200


def test_full_is_503_with_retry_after(module_scene):
    manager = module_scene.manager(module_scene.redis(), MAX_WORKERS=2)
    manager.register("a")
    manager.register("b")
    answer = manager.post("/register", {"worker_id": "c"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    manager.register("a", port=9001)
    manager.delete("/workers/a")
    wait_for("room again", lambda: manager.post("/register", {"worker_id": "c"}).status_code == 200)
