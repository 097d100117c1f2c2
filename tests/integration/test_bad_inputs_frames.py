"""Bad WebSockets: every line of bad_frames.txt, and every message of the codec's table of bad heartbeats, as real frames."""
import itertools
import json
import struct

import pytest

from bad_inputs import ENVIRONMENT, Watch, failures_of, read_table, sentence_of, unescaped
from clients import RawHttp, request

TABLE = read_table("bad_frames.txt", 4)
BEATS = read_table("bad_beats.txt", 3)[""]
HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
HALF_CLOSE = "<<end>>"
LAST_PING = "are you there?"
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


def handshake(manager, text=""):
    """The bytes of a handshake with the faults that a line of the table has."""
    method, path, fields, more = "GET", f"/ws/bad-{next(numbers)}", {"Host": "a", **HANDSHAKE}, []
    for line in unescaped(text).decode().split("\r\n") if text else ():
        name, _, value = line.partition(":")
        if line.startswith("path="):
            path = line.removeprefix("path=")
            method, path = path.split(" ") if " " in path else (method, path)
        elif line.startswith("-"):
            fields[line[1:]] = None
        elif name in HANDSHAKE and fields[name] == HANDSHAKE[name] and name not in more:
            fields[name] = value.strip()
            more.append(name)
        else:
            path_fields = f"{path} HTTP/1.1\r\n{line}"
            return request(method, path_fields + "\r\nX-Rest: ", b"", fields)
    return request(method, path, b"", fields)


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
    from bad_inputs import REPEAT
    text = REPEAT.sub(lambda match: match[1] * int(match[2]), text)
    data = b""
    for part in text.split(" || "):
        head, _, payload = part.partition(" ")
        data += unescaped(payload) if head == "raw" else frame(head, unescaped(payload))
    return data


class RawSocket(RawHttp):
    """A WebSocket whose frames are bytes, read one by one."""

    def __init__(self, manager):
        super().__init__(manager)
        self.send(handshake(manager))
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


def judge_frames(socket, wanted, piece):
    """Reads until the socket has shown what the word says."""
    seen = []
    if wanted in ("error", "stays", "pong"):
        socket.send(frame("89", LAST_PING.encode()))
    while True:
        received = socket.receive()
        seen.append(received)
        if received is None:
            break
        opcode, payload = received
        if opcode == CLOSE or (opcode == PONG and payload == LAST_PING.encode()):
            break
    opcodes = [one[0] for one in seen if one]
    if wanted == "lost":
        assert received is None and CLOSE not in opcodes, seen
    elif wanted.isdigit():
        assert received is not None, f"lost without a close frame: {seen}"
        assert struct.unpack("!H", payload[:2])[0] == int(wanted), seen
        assert piece == "-" or piece in payload[2:].decode(), seen
        socket.half_close()
        assert socket.at_end(), "the connection goes on behind the close"
    else:
        assert opcodes and opcodes[-1] == PONG, f"the socket did not stay: {seen}"
        texts = [json.loads(payload) for opcode, payload in seen if opcode == TEXT]
        assert bool(texts) == (wanted == "error"), seen
        assert all(set(text) == {"error"} for text in texts) and (piece == "-" or piece in texts[0]["error"]), seen
        assert wanted != "pong" or opcodes.count(PONG) > 1, seen


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
            socket.send(handshake(manager, text) if section == "handshakes" else frames(text))
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
