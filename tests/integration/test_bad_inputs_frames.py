"""Bad WebSockets: every line of bad_frames.txt, and every message of the codec's table of bad heartbeats, as real frames."""
import itertools
import json
import struct

import pytest

from bad_inputs import ENVIRONMENT, Watch, failures_of, read_table, repeated, sentence_of, unescaped
from clients import RawHttp, request

TABLE = read_table("bad_frames.txt", 4)
BEATS = read_table("bad_beats.txt", 3)[""]
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
HALF_CLOSE = "<<end>>"
ANSWER_S = 20  # libwebsockets gives a peer 5 s to answer its close frame
LAST_PING = b"are you there?"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def manager(module_scene):
    manager = module_scene.manager(module_scene.redis(), HEARTBEAT_TIMEOUT=3600, LOG_LEVEL="error", **ENVIRONMENT)
    manager.register("w1")
    return manager


@pytest.fixture(scope="module")
def watch(manager):
    return Watch(manager)


@pytest.fixture(autouse=True)
def as_before(watch):
    yield
    watch.check()


def handshake(text=""):
    """The bytes of a handshake with the faults that a line of the table has."""
    method, path, fields, more = "GET", f"/ws/bad-{next(numbers)}", {"Host": "a", **HANDSHAKE}, []
    for line in repeated(text).split("¶") if text else ():
        name, _, value = line.partition(": ")
        if line.startswith("path="):
            method, _, path = line.removeprefix("path=").rpartition(" ")
        elif line.startswith("-"):
            fields[line[1:]] = None
        elif name in HANDSHAKE:
            fields[name] = None
            more.append((name, value))
        else:
            more.append((name, value))
    head = request(method or "GET", path, b"", fields).removesuffix(b"\r\n")
    return head + "".join(f"{name}: {value}\r\n" for name, value in more).encode() + b"\r\n"


def frame(head, payload):
    """A frame as the table writes it: first byte and flags; its mask is zero, so that the payload stays readable."""
    first, flags = bytes.fromhex(head[:2]), head[2:]
    flags, _, announced = flags.partition("=")
    length = int(announced) if announced else len(payload)
    masked = 0 if "u" in flags else 0x80
    if "q" in flags:
        size = bytes([masked | 127]) + length.to_bytes(8, "big")
    elif "w" in flags:
        size = bytes([masked | 126]) + length.to_bytes(2, "big")
    else:
        assert length < 126, "a length that needs `w` or `q`"
        size = bytes([masked | length])
    return first + size + (b"\0\0\0\0" if masked else b"") + payload


def frames(text):
    data = b""
    for part in repeated(text).split(" || "):
        head, _, payload = part.partition(" ")
        data += unescaped(payload) if head == "raw" else frame(head, unescaped(payload))
    return data


class RawSocket(RawHttp):
    """A WebSocket whose frames are bytes, read one by one."""

    def __init__(self, manager):
        super().__init__(manager)
        self.sock.settimeout(ANSWER_S)
        self.send(handshake())
        answer = self.answer()
        assert answer is not None and answer.status == 101, answer

    def exactly(self, size):
        while len(self.buffered) < size:
            if not self._more():
                return None
        data, self.buffered = self.buffered[:size], self.buffered[size:]
        return data

    def receive(self):
        """(opcode, payload), or None at the end of the stream."""
        head = self.exactly(2)
        if head is None:
            return None
        size = head[1] & 127
        if size == 126:
            size = struct.unpack("!H", self.exactly(2))[0]
        return head[0] & 15, self.exactly(size)


def until(socket, last):
    """Everything received up to a frame of that opcode, a close or the end of the stream (None)."""
    seen = []
    while True:
        seen.append(socket.receive())
        if seen[-1] is None or seen[-1][0] in (CLOSE, last):
            return seen


def judge_staying(socket, wanted, piece):
    """The socket stays: it answers what comes next. (Of many pings libwebsockets need not answer the last.)"""
    last = TEXT if wanted == "pong" else PONG
    first = until(socket, PONG if wanted == "pong" else TEXT) if wanted != "stays" else []
    socket.send(frame("81", b"are you there?") if wanted == "pong" else frame("89", LAST_PING))
    seen = first + until(socket, last)
    while last == PONG and seen[-1] and seen[-1][0] == PONG and seen[-1][1] != LAST_PING:
        seen += until(socket, last)
    assert seen[-1] is not None and seen[-1][0] == last, f"it did not stay: {seen}"
    texts = [json.loads(payload) for opcode, payload in seen if opcode == TEXT]
    assert bool(texts) == (wanted != "stays"), seen
    assert all(set(text) == {"error"} for text in texts), seen
    assert piece == "-" or piece in texts[0]["error"], seen


def judge_close(socket, wanted, piece):
    received = until(socket, CLOSE)[-1]
    if wanted == "lost":
        assert received is None, received
        return
    assert received is not None, "lost without a close frame"
    code, _, more = wanted.partition(" ")
    seen = struct.unpack("!H", received[1][:2])[0] if len(received[1]) > 1 else "other"
    assert str(seen) == code, received
    assert piece == "-" or piece in received[1][2:].decode(), received
    socket.half_close()
    assert socket.at_end() or more, f"behind the close came {socket.buffered[:60]!r}"


def judge_frames(socket, wanted, piece):
    judge = judge_staying if wanted in ("error", "stays", "pong") else judge_close
    judge(socket, wanted, piece)


def judge_handshake(http, status, piece):
    answer = http.answer()
    assert answer is not None and answer.status == int(status), answer
    assert piece == "-" or piece in sentence_of(answer.body), answer
    assert http.at_end(), "the connection goes on"


def actual(line):
    wanted, _, known = line.columns[1].partition(" known: ")
    return known or wanted


def play(manager, section):
    lines = TABLE[section]
    crowd = {line: RawHttp(manager) if section == "handshakes" else RawSocket(manager) for line in lines}
    try:
        for line, socket in crowd.items():
            text = line.columns[3].removesuffix(HALF_CLOSE)
            socket.send(handshake(text) if section == "handshakes" else frames(text))
            if text != line.columns[3]:
                socket.half_close()
        judge = judge_handshake if section == "handshakes" else judge_frames
        failures_of(lines, lambda line: judge(crowd[line], actual(line), line.columns[2]))
    finally:
        for socket in crowd.values():
            socket.sock.close()


@pytest.mark.parametrize("section", TABLE)
def test_frames(manager, section):
    play(manager, section)
    print(f"{len(TABLE[section])} inputs")


def test_messages(manager):
    """Each bad heartbeat of the codec's table on a socket of its own: told what is wrong, and not a heartbeat."""
    crowd = {line: RawSocket(manager) for line in BEATS}

    def judge(line):
        socket, message = crowd[line], line.columns[2].encode()
        socket.send(frame("81w" if len(message) > 125 else "81", message))
        opcode, payload = socket.receive()
        assert opcode == TEXT and json.loads(payload) == {"error": line.columns[1]}, payload

    failures_of(BEATS, judge)
    for socket in crowd.values():
        socket.sock.close()
    print(f"{len(BEATS)} inputs")


def test_again_and_again(manager, watch):
    def once():
        for section in TABLE:
            play(manager, section)
        test_messages(manager)

    watch.check_memory(once)


def test_and_a_clean_end(manager):
    """Nothing that the sanitizers see, no leak."""
    print(f"{sum(map(len, TABLE.values())) + len(BEATS)} inputs of WebSocket")
    manager.stop()
    assert not manager.complaints()
    manager.start()  # for the watch that is kept over every test
