"""Clients that speak to the manager byte by byte where a library would be too polite."""
import json
import socket
import struct

import websocket
from websocket import ABNF

from waiting import LIMIT_S

# RFC 6455's registry has 1012 (service restart) since long; this client's list does not.
websocket._abnf.VALID_CLOSE_STATUS = (*websocket._abnf.VALID_CLOSE_STATUS, 1012)

ABNORMAL = 1006  # no close frame came: the code that stands for it


class Peer:
    """A WebSocket client on /ws/<id>."""

    def __init__(self, manager, worker, **options):
        self.ws = websocket.create_connection(f"ws://127.0.0.1:{manager.port}/ws/{worker}", timeout=LIMIT_S, **options)

    def beat(self, **fields):
        self.ws.send(json.dumps(fields))

    def send(self, text):
        self.ws.send(text)

    def frame(self, data, opcode, fin=1):
        """One raw frame: for what a well-behaved client never sends."""
        self.ws.send_frame(ABNF.create_frame(data, opcode, fin))

    def receive(self):
        """The next message as JSON."""
        return json.loads(self.ws.recv())

    def closed_with(self):
        """Waits for the manager to close; the code of its close frame."""
        try:
            while True:
                frame = self.ws.recv_frame()
                if frame.opcode == ABNF.OPCODE_CLOSE:
                    return struct.unpack("!H", frame.data[:2])[0]
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return ABNORMAL

    def goodbye(self, code=1000):
        self.ws.send_close(code)

    def vanish(self):
        """The connection ends without a close frame, as when the process dies."""
        self.ws.sock.close()
        self.ws.sock = None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]!r}"


class RawHttp:
    """One TCP connection that sends any bytes and reads HTTP answers."""

    def __init__(self, manager):
        self.sock = socket.create_connection(("127.0.0.1", manager.port), timeout=LIMIT_S)
        self.buffered = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """False when the manager has closed already, which for some requests is its right."""
        try:
            self.sock.sendall(data)
            return True
        except ConnectionError:
            return False

    def half_close(self):
        """Nothing more will be sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the manager was faster

    def _more(self):
        try:
            chunk = self.sock.recv(65536)
        except ConnectionError:
            chunk = b""
        self.buffered += chunk
        return bool(chunk)

    def answer(self, head=False):
        """The next answer, or None when the connection ends without a whole one."""
        while b"\r\n\r\n" not in self.buffered:
            if not self._more():
                return None
        top, self.buffered = self.buffered.split(b"\r\n\r\n", 1)
        lines = top.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self.buffered) < length:
            if not self._more():
                return None
        body, self.buffered = self.buffered[:length], self.buffered[length:]
        return Answer(int(lines[0].split()[1]), headers, body)

    def at_end(self):
        """Waits until the manager closes; True when it sent nothing more before."""
        return not self.buffered and not self._more()


def request(method, path, body=b"", headers=()):
    """The bytes of a request; Host and, with a body, Content-Length and JSON's type are added unless given."""
    fields = {"Host": "localhost"}
    if body:
        fields.update({"Content-Type": "application/json", "Content-Length": str(len(body))})
    fields.update(dict(headers))
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body
