"""GET /workers: filters, pages, and each form of its bytes, with the entity tag that belongs to it."""
import gzip
import json
import signal

import pytest
import requests

from clients import Peer, RawHttp, request
from waiting import wait_for

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture(scope="module")
def manager(module_scene):
    """Four workers that differ, and that change only when a test wants it."""
    manager = module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=3600, DISCONNECT_GRACE=0.1)
    for place, name in enumerate(["Billing", "Stock", "billing (old)", "Wörker"], start=1):
        manager.register(f"w{place}", port=9000 + place, worker_name=name, host=f"10.0.0.{place}")
    peer = Peer(manager, "w1")
    peer.beat()
    vanished = Peer(manager, "w2")
    vanished.beat()
    vanished.vanish()
    manager.wait_row("w1", status="alive", serving=True)
    manager.wait_row("w2", status="disconnected", serving=False)
    yield manager
    peer.goodbye()


@pytest.fixture(scope="module")
def many(module_scene):
    """More than is compressed or indented in one go on the loop: 300 rows."""
    manager = module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=3600)
    for place in range(300):
        manager.register(f"w{place:03}")
    wait_settled(manager)
    return manager


def wait_settled(manager):
    """Until no row changes any more: a new registration is written to Redis, then nothing happens."""
    wait_for("nothing changes", lambda: get(manager, "/workers").headers["ETag"] == get(manager, "/workers").headers["ETag"])


def get(manager, path, **headers):
    """With these headers and no others of its own, bytes as they came."""
    http = requests.Session()
    http.trust_env = False
    http.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = http.get(manager.url + path, timeout=10, stream=True)
    answer.raw_body = answer.raw.read(decode_content=False)
    http.close()
    return answer


def raw(manager, path, headers=()):
    with RawHttp(manager) as http:
        http.send(request("GET", path, b"", headers))
        return http.answer()


# ---- filters and pages ----

@pytest.mark.parametrize("query, ids", [
    ("status=alive", "w1"), ("status=disconnected", "w2"), ("status=registered", "w3 w4"), ("status=connected", ""),
    ("status=alive,disconnected", "w1 w2"), ("status=alive%2Cdisconnected", "w1 w2"), ("serving=true", "w1"),
    ("serving=false", "w2 w3 w4"), ("q=bill", "w1 w3"), ("q=BILL&status=registered", "w3"), ("q=w4", "w4"),
    ("q=10.0.0.2", "w2"), ("q=W%C3%B6rk", "w4"), ("q=(old)", "w3"), ("q=%28OLD%29", "w3"), ("q=billing+%28", "w3"),
    ("q=nobody", ""), ("q=", "w1 w2 w3 w4"), ("after=w2", "w3 w4"), ("after=w2x", "w3 w4"), ("%71=stock", "w2"),
    ("q=a%26b", ""), ("q=/../", ""), ("q=a//b", ""), ("q=a?b", ""), ("q=w1;status=alive", "w1"), ("", "w1 w2 w3 w4"),
    ("&", "w1 w2 w3 w4"), ("status=alive&", "w1"), ("&&q=w1", "w1")])
def test_filters(manager, query, ids):
    answer = raw(manager, f"/workers?{query}")
    assert answer.status == 200, answer
    assert list(json.loads(answer.body)) == ids.split()
    assert "link" not in answer.headers


@pytest.mark.parametrize("query, said", [
    ("status=alvie", 'status: "alvie" is not a status; it must be one of registered, connected, alive, not_responding, '
                     'disconnected, or several of them separated by commas'),
    ("serving=1", 'serving: "1" is neither; it must be true or false'),
    ("limit=0", 'limit: "0" is not a number of rows; it must be an integer between 1 and 10000'),
    ("limit=10001", 'limit: "10001" is not a number of rows; it must be an integer between 1 and 10000'),
    ("after=a%20b", 'after: "a b" is not a worker id; it must be the last id of the page before, 1 to 64 characters of '
                    'A-Z a-z 0-9 . _ : -'),
    ("q=" + "x" * 129, 'q: "' + "x" * 32 + '..." is too long; it must be at most 128 bytes'),
    ("q=a&q=b", 'q: "b" comes a second time; it must be given at most once'),
    ("stauts=alive", 'query: "stauts" is not a parameter here; it must be one of status, serving, q, limit, after'),
    ("x", 'query: "x" is not a parameter here; it must be one of status, serving, q, limit, after'),
    ("q%3D=5", 'query: "q_" is not a parameter here; it must be one of status, serving, q, limit, after'),
    ("status=%ff%22%1b", 'status: "?"?" is not a status; it must be one of registered, connected, alive, not_responding, '
                         'disconnected, or several of them separated by commas'),
    ("a" * 12000, 'query: "?" is not a parameter here; it must be one of status, serving, q, limit, after')])
def test_a_broken_rule_is_422_with_its_sentence(manager, query, said):
    answer = raw(manager, f"/workers?{query}")
    assert answer.status == 422
    assert json.loads(answer.body) == {"status": "error", "error": said}


@pytest.mark.parametrize("query", ["q=%zz", "q=%4", "q=%00", "a&" * 300, "&" * 300 + "limit=1", "q=%0a%22", "q=%0d"])
def test_what_the_library_will_not_parse(manager, query):
    """It refuses or hangs up by itself; whatever it does, nobody is listed and the manager goes on."""
    answer = raw(manager, f"/workers?{query}")
    assert answer is None or answer.status >= 400
    assert manager.get("/livez").status_code == 200


def test_a_query_and_a_body(manager):
    """The body is read first; the query must still be there then."""
    with RawHttp(manager) as http:
        http.send(request("GET", "/workers?status=alive", b"{}"))
        assert list(json.loads(http.answer().body)) == ["w1"]


def test_head_says_what_get_would(manager):
    with RawHttp(manager) as http:
        http.send(request("HEAD", "/workers?limit=2"))
        head = http.answer(head=True)
        http.send(request("GET", "/workers?limit=2"))
        got = http.answer()
    assert head.headers == got.headers
    assert head.headers["link"] == '</workers?limit=2&after=w2>; rel="next"'


def walk(manager, query):
    """The ids of each page, by the links alone."""
    pages, path = [], f"/workers?{query}"
    while path:
        answer = manager.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(list(answer.json()))
        assert len(pages) < 100, "a walk comes to an end"
        path = answer.links.get("next", {}).get("url")
    return pages


@pytest.mark.parametrize("query, pages", [
    ("limit=2", [["w1", "w2"], ["w3", "w4"]]), ("limit=3", [["w1", "w2", "w3"], ["w4"]]),
    ("limit=4", [["w1", "w2", "w3", "w4"]]), ("limit=1&q=billing", [["w1"], ["w3"]]),
    ("limit=1&q=W%C3%B6", [["w4"]]), ("status=disconnected,registered&limit=2&serving=false", [["w2", "w3"], ["w4"]]),
    ("limit=10000", [["w1", "w2", "w3", "w4"]])])
def test_pages(manager, query, pages):
    assert walk(manager, query) == pages


def test_the_longest_link(manager):
    """Everything encoded, of the most bytes that the rules allow: it fits beside the other fields."""
    names = [":" * 63 + "1", ":" * 63 + "2"]
    for name in names:
        manager.register(name, worker_name="Ö" * 64)
    query = ("status=registered,connected,alive,not_responding,disconnected&serving=false&limit=1&after=" + ":" * 62
             + "&q=" + "%C3%96" * 64)
    assert walk(manager, query) == [[name] for name in names]
    for name in names:
        manager.delete(f"/workers/{name}")


def test_a_walk_while_workers_come_and_go(many):
    stay = {worker for worker in many.rows() if int(worker[1:]) % 3}
    path, seen, turn = "/workers?limit=7", [], 0
    while path:
        answer = many.get(path)
        seen += answer.json()
        path = answer.links.get("next", {}).get("url")
        for place in range(turn % 9, 300, 9):  # those of 0, 3 and 6 modulo 9 take turns
            if place % 3 == 0:
                many.delete(f"/workers/w{place:03}")
        if turn % 2:
            for place in range((turn + 3) % 9, 300, 9):
                if place % 3 == 0:
                    many.register(f"w{place:03}")
        turn += 1
        assert turn < 300, "it comes to an end"
    assert seen == sorted(set(seen)), "in order, and nobody twice"
    assert stay <= set(seen), "nobody who was there all the time is missing"
    for place in range(0, 300, 3):
        many.register(f"w{place:03}")
    wait_settled(many)


# ---- forms ----

def test_it_is_one_object_a_row_per_line(manager):
    text = get(manager, "/workers").raw_body.decode()
    assert text.startswith('{\n"w1":{"worker_id":"w1"')
    assert text.endswith("}\n}\n")
    assert len(text.splitlines()) == 6


@pytest.mark.parametrize("path", ["/workers", "/workers?limit=290", "/workers?q=w0"])
@pytest.mark.parametrize("accept", [None, "*/*", BROWSER])
def test_each_form_holds_the_same(many, path, accept):
    headers = {"Accept": accept} if accept else {}
    plain = get(many, path, **headers)
    packed = get(many, path, Accept_Encoding="gzip", **headers)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.raw_body) == plain.raw_body
    assert len(packed.raw_body) < len(plain.raw_body) / 4
    assert json.loads(plain.raw_body) == many.get(path).json()
    for answer in (plain, packed):
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert {word.strip() for word in answer.headers["Vary"].split(",")} == {"Accept", "Accept-Encoding"}
    indented = plain.raw_body.decode().startswith('{\n  "w000": {\n    "worker_id": "w000",\n')
    assert indented == (accept == BROWSER)


def test_an_indented_listing_is_what_a_library_would_make(manager):
    text = get(manager, "/workers", Accept=BROWSER).raw_body.decode()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_little_is_not_compressed(manager):
    answer = get(manager, "/workers?q=w1", Accept_Encoding="gzip")
    assert len(answer.raw_body) < 1024 and "Content-Encoding" not in answer.headers
    answer = get(manager, "/workers?q=w1", Accept_Encoding="gzip, identity;q=0")
    assert list(json.loads(gzip.decompress(answer.raw_body))) == ["w1"]


@pytest.mark.parametrize("accepted, packed", [
    ("gzip;q=0", False), ("identity, gzip;q=0.5", False), ("br, *;q=0.1", True), ("deflate", False), ("GZIP;q=0.2", True)])
def test_weights(many, accepted, packed):
    answer = get(many, "/workers", Accept_Encoding=accepted)
    assert ("Content-Encoding" in answer.headers) == packed


def test_repeated_fields_are_one_list(many):
    """As RFC 9110 has it, section 5.3."""
    etag = get(many, "/workers").headers["ETag"]
    head = "GET /workers HTTP/1.1\r\nHost: a\r\n"
    with RawHttp(many) as http:
        http.send(f"{head}Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        assert http.answer().headers.get("content-encoding") == "gzip"
        http.send(f'{head}If-None-Match: "x"\r\nIf-None-Match: {etag}\r\n\r\n'.encode())
        assert http.answer().status == 304


# ---- unchanged ----

FORMS = [{}, {"Accept": BROWSER}, {"Accept-Encoding": "gzip"}, {"Accept": BROWSER, "Accept-Encoding": "gzip"}]
PATHS = ["/workers", "/workers?limit=5", "/workers/w001", "/workers/w001/timeline"]


@pytest.mark.parametrize("path", PATHS)
def test_each_form_has_its_own_tag(many, path):
    answers = [get(many, path, **headers) for headers in FORMS]
    bodies = {answer.raw_body for answer in answers}
    tags = {answer.headers["ETag"] for answer in answers}
    assert len(tags) == len(bodies) >= 2
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags), "strong"
    assert tags == {get(many, path, **headers).headers["ETag"] for headers in FORMS}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", FORMS, ids=["plain", "indented", "gzip", "both"])
def test_unchanged_is_304(many, path, headers):
    whole = get(many, path, **headers)
    etag = whole.headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = get(many, path, If_None_Match=condition, **headers)
        assert again.status_code == 304, condition
        assert not again.raw_body
        assert again.headers["ETag"] == etag
        assert again.headers["Vary"] == whole.headers["Vary"]
        assert again.headers.get("Link") == whole.headers.get("Link")
        assert not {"Content-Type", "Content-Length", "Content-Encoding"} & set(again.headers)
    for condition in (etag.strip('"'), '"other"', etag[:-1], ""):
        assert get(many, path, If_None_Match=condition, **headers).status_code == 200, condition


def test_304_leaves_the_connection_in_step(many):
    etag = get(many, "/workers").headers["ETag"]
    with RawHttp(many) as http:
        for _ in range(3):
            http.send(request("GET", "/workers", b"", {"If-None-Match": etag}))
            assert http.answer().status == 304
            http.send(request("GET", "/livez"))
            assert http.answer().body == b'{"status":"ok"}\n'


def test_a_change_changes_the_tags_of_what_shows_it(manager):
    def tags():
        return [get(manager, path).headers["ETag"] for path in ("/workers", "/workers?q=w3", "/workers/w3", "/workers?q=w1")]

    before = tags()
    manager.register("w3", port=9999, worker_name="billing (old)", host="10.0.0.3")
    after = tags()
    assert [tag != old for tag, old in zip(after, before)] == [True, True, True, False]


def test_a_page_that_is_not_the_last_any_more_has_another_tag(manager):
    path = "/workers?limit=1&after=w3"
    last = get(manager, path)
    manager.register("w5")
    followed = get(manager, path, If_None_Match=last.headers["ETag"])
    assert followed.status_code == 200, "the rows are the same, the link is new"
    assert followed.raw_body == last.raw_body and followed.headers["Link"]
    manager.delete("/workers/w5")
    assert get(manager, path).headers["ETag"] == last.headers["ETag"]


def test_no_tag_means_other_bytes_after_a_restart(scene, redis_server):
    manager = scene.manager(redis_server)
    seen = {}
    for port in range(9000, 9003):
        for path in ("/workers", "/workers?limit=5", "/workers/w1"):
            manager.register("w1", port=port)
            answer = get(manager, path)
            # The same number of changes since the start each time: a mere count of them would give the same tags.
            assert seen.setdefault((path, answer.headers["ETag"]), answer.raw_body) == answer.raw_body
        wait_for("Redis has it", lambda port=port: json.loads(redis_server.hash()["w1"])["port"] == port)
        manager.stop()
        manager.start().wait_answer("/readyz")
    assert len(seen) == 9


def test_what_is_the_same_after_a_restart_has_the_same_tag(scene, redis_server):
    manager = scene.manager(redis_server)
    before = get(manager, "/workers?q=nobody").headers["ETag"]
    manager.stop()
    manager.start().wait_answer("/readyz")
    assert get(manager, "/workers?q=nobody").headers["ETag"] == before


# ---- many at once ----

def test_many_wait_for_one_compression(many):
    """All of them ask for a version that nobody has asked for before, in each form."""
    for _ in range(3):
        many.register("w000", port=9000 + int(many.row("w000")["port"]) % 100)
        lines = [RawHttp(many) for _ in range(24)]
        for place, line in enumerate(lines):
            line.send(request("GET", "/workers", b"", FORMS[place % len(FORMS)]))
        lines.pop(0).sock.close()
        expected = many.rows()
        for line in lines:
            answer = line.answer()
            assert answer.status == 200
            body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
            assert json.loads(body) == expected
            line.sock.close()


def test_a_stop_while_a_compression_runs(scene, redis_server):
    manager = scene.manager(redis_server)
    for place in range(300):
        manager.register(f"w{place}", attributes={f"note{i}": "x" * 200 for i in range(10)})
    lines = [RawHttp(manager) for _ in range(8)]
    for line in lines:
        line.send(request("GET", "/workers", b"", {"Accept-Encoding": "gzip"}))
    manager.signal(signal.SIGTERM)
    for line in lines:
        answer = line.answer()
        assert answer is None or answer.status in (200, 503)
        line.sock.close()
    assert manager.wait() == 0
