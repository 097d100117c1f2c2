"""Bad requests: every line of bad_http.txt, and every registration and heartbeat of the codec's tables over real HTTP."""
import pytest

from bad_inputs import ENVIRONMENT, Watch, failures_of, read_table, sentence_of, unescaped
from clients import RawHttp, request

TABLE = read_table("bad_http.txt", 4)
REGISTRATIONS = read_table("bad_registrations.txt", 3)[""]
BEATS = read_table("bad_beats.txt", 3)[""]
STATUS = {"SYNTAX": 400, "SHAPE": 422}
WAITING = ("slow",)
HALF_CLOSE = "<<end>>"


@pytest.fixture(scope="module")
def manager(module_scene):
    manager = module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=3600, **ENVIRONMENT)
    manager.register("w1")
    return manager


@pytest.fixture(scope="module")
def watch(manager):
    return Watch(manager)


@pytest.fixture(autouse=True)
def as_before(watch):
    yield
    watch.check()


def send(manager, text):
    http = RawHttp(manager)
    half_close = text.endswith(HALF_CLOSE)
    http.send(unescaped(text.removesuffix(HALF_CLOSE)))
    if half_close:
        http.half_close()
    return http


def judge_answer(http, expected, piece, head):
    """The connection's answers, one after the other, against the table's words."""
    wanted, _, actual = expected.partition(" known: ")
    for place, word in enumerate((actual or wanted).split()):
        answer = http.answer(head=head)
        if word == "end":
            assert answer is None and http.at_end(), f"not closed: {answer}"
            continue
        assert answer is not None, f"closed without {word}"
        assert answer.status == int(word), f"not {word}: {answer}"
        if answer.status >= 400 and not head and piece != "-":
            assert answer.headers["content-type"].startswith("application/json"), answer
            assert place > 0 or piece in sentence_of(answer.body), answer
        assert ("allow" in answer.headers) == (answer.status == 405), answer


def play(manager, lines):
    """All of a section at once, each on a connection of its own."""
    crowd = {line: send(manager, line.columns[3]) for line in lines}
    try:
        failures_of(lines, lambda line: judge_answer(crowd[line], line.columns[1], line.columns[2],
                                                     line.columns[3].startswith("HEAD")))
    finally:
        for http in crowd.values():
            http.sock.close()


@pytest.mark.parametrize("section", TABLE)
def test_requests(manager, section):
    play(manager, TABLE[section])
    print(f"{len(TABLE[section])} inputs")


def judge_body(http, line, path):
    code, sentence, body = line.columns
    http.send(request("POST", path, body.encode()))
    answer = http.answer()
    assert answer is not None and answer.status == STATUS[code], answer
    assert sentence_of(answer.body) == sentence, answer


@pytest.mark.parametrize("lines, path", [(REGISTRATIONS, "/register"), (BEATS, "/workers/w1/heartbeat"),
                                         (BEATS, "/workers/nobody/heartbeat")],
                         ids=["registrations", "heartbeats", "heartbeats of nobody"])
def test_bodies(manager, lines, path):
    """On one connection: a refused body leaves it in step."""
    with RawHttp(manager) as http:
        failures_of(lines, lambda line: judge_body(http, line, path))
    print(f"{len(lines)} inputs")


def test_again_and_again(manager, watch):
    quick = [line for section, lines in TABLE.items() if section not in WAITING for line in lines]

    def once():
        play(manager, quick)
        test_bodies(manager, REGISTRATIONS, "/register")
        test_bodies(manager, BEATS, "/workers/w1/heartbeat")

    watch.check_memory(once)


def test_and_a_clean_end(manager):
    """Nothing that the sanitizers see, no leak."""
    print(f"{sum(map(len, TABLE.values())) + len(REGISTRATIONS) + len(BEATS)} inputs of HTTP")
    manager.stop()
    assert not manager.complaints()
    manager.start()  # for the watch that is kept over every test
