"""Hundreds of workers in one thread: each registers, connects, beats, and comes back with jitter, as our own worker does.

All sockets are non-blocking and served by one selector, so that 200 beating workers cost little more than their bytes.
What a test asks for (freeze, vanish, ...) holds from the moment at which the call returns.
"""
import base64
import heapq
import json
import os
import random
import re
import selectors
import socket
import struct
import threading
import time

from waiting import wait_for

FIRST_DELAY_S = 0.5
TURN_S = 0.05
TEXT, CLOSE, PING = 0x81, 0x88, 0x89


def masked(first_byte, payload):
    """A frame of fewer than 126 bytes, as clients send it."""
    mask = os.urandom(4)
    return bytes([first_byte, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class _Worker:
    def __init__(self, name):
        self.name = name
        self.wanted = True  # else it stays away once its socket is closed
        self.silent = False  # its socket stays, its beats do not
        self.flaps = False  # drains and serves again with every beat
        self.draining = False
        self.sock = None
        self.received = None  # the function that takes what came, one for each step of its way
        self.buffered = b""
        self.outgoing = b""
        self.beats = 0  # on this socket
        self.failures = 0
        self.due = None  # of its only timer
        self.then = None


class Fleet:
    """Context manager: the workers start with it and are gone, without a goodbye, when it ends."""

    def __init__(self, manager, count, interval_s=0.3, name="w", reconnect_max_s=2, **registration):
        self.port, self.interval_s, self.reconnect_max_s = manager.port, interval_s, reconnect_max_s
        self.registration = {"host": "127.0.0.1", "port": 9000, **registration}
        self.workers = [f"{name}{place:03}" for place in range(count)]
        self.refusals = []  # answers that no worker should get: (worker, text)
        self.closes = []  # (worker, code) of each close frame
        self._by_name = {name: _Worker(name) for name in self.workers}
        self._selector = selectors.DefaultSelector()
        self._timers = []
        self._lock = threading.Lock()
        self._ended = False
        self._fault = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        for worker in self._by_name.values():
            self._at(worker, random.uniform(0, self.interval_s), self._register)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended = True
        self._thread.join()
        for worker in self._by_name.values():
            self._hang_up(worker)
        self._selector.close()
        assert self._fault is None, f"the fleet's thread ended: {self._fault!r}"

    # ---- what tests ask for; no names: all of them

    def freeze(self, *names):
        """They fall silent, their sockets stay open."""
        self._set(names, silent=True, wanted=False)

    def vanish(self, *names):
        """Their connections end without a close frame, and they stay away."""
        with self._lock:
            for worker in self._named(names):
                worker.wanted = False
                self._hang_up(worker)

    def come_back(self, *names):
        with self._lock:
            for worker in self._named(names):
                worker.wanted, worker.silent, worker.failures = True, False, 0
                if worker.sock is None:
                    self._at(worker, random.uniform(0, self.interval_s), self._register)
                elif worker.received == self._on_frames:
                    self._at(worker, 0, self._beat)

    def flap(self, *names):
        """Each beat of theirs asks for no more traffic, or for traffic again, in turn."""
        self._set(names, flaps=True)

    def settle(self, *names):
        """No flapping any more: they ask for traffic."""
        self._set(names, flaps=False)

    def beating(self):
        """How many have beaten on the socket that they have now."""
        with self._lock:
            return sum(worker.beats > 0 and not worker.silent for worker in self._by_name.values())

    def wait_beating(self, count=None):
        count = len(self.workers) if count is None else count
        wait_for(f"{count} workers beat", lambda: self.beating() == count)
        return self

    def _named(self, names):
        return [self._by_name[name] for name in names or self.workers]

    def _set(self, names, **flags):
        with self._lock:
            for worker in self._named(names):
                for flag, value in flags.items():
                    setattr(worker, flag, value)

    # ---- the thread

    def _run(self):
        try:
            while not self._ended:
                with self._lock:
                    wait_s = min(TURN_S, self._timers[0][0] - time.monotonic()) if self._timers else TURN_S
                ready = self._selector.select(max(wait_s, 0.001))
                with self._lock:
                    for key, events in ready:
                        if key.data.sock is key.fileobj:  # else it was closed since
                            self._serve(key.data, events)
                    self._fire(time.monotonic())
        except Exception as fault:  # pylint: disable=broad-except
            self._fault = fault

    def _at(self, worker, delay_s, then):
        worker.due, worker.then = time.monotonic() + delay_s, then
        heapq.heappush(self._timers, (worker.due, worker.name))

    def _fire(self, now):
        while self._timers and self._timers[0][0] <= now:
            due, name = heapq.heappop(self._timers)
            worker = self._by_name[name]
            if worker.due == due:  # else it was set anew since
                worker.due = None
                worker.then(worker)

    def _serve(self, worker, events):
        try:
            if events & selectors.EVENT_WRITE:
                self._flush(worker)
            if events & selectors.EVENT_READ:
                data = worker.sock.recv(4096)
                if not data:
                    self._failed(worker)
                    return
                worker.buffered += data
                worker.received(worker)
        except BlockingIOError:
            pass
        except OSError:
            self._failed(worker)

    # ---- one worker's way: register, connect, beat; whatever ends it, again after a pause

    def _dial(self, worker, request, received):
        self._hang_up(worker)
        worker.sock = socket.socket()
        worker.sock.setblocking(False)
        worker.sock.connect_ex(("127.0.0.1", self.port))
        worker.received, worker.outgoing = received, request
        self._selector.register(worker.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, worker)

    def _hang_up(self, worker):
        if worker.sock is not None:
            self._selector.unregister(worker.sock)
            worker.sock.close()
        worker.sock, worker.buffered, worker.outgoing, worker.beats, worker.due = None, b"", b"", 0, None

    def _failed(self, worker):
        self._hang_up(worker)
        if not worker.wanted:
            return
        ceiling_s = min(self.reconnect_max_s, FIRST_DELAY_S * 2 ** min(worker.failures, 10))
        worker.failures += 1
        self._at(worker, random.uniform(0, ceiling_s), self._register)

    def _send(self, worker, data):
        worker.outgoing += data
        self._flush(worker)

    def _flush(self, worker):
        try:
            sent = worker.sock.send(worker.outgoing) if worker.outgoing else 0
        except BlockingIOError:
            sent = 0
        worker.outgoing = worker.outgoing[sent:]
        waits_for = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        self._selector.modify(worker.sock, waits_for, worker)

    def _register(self, worker):
        body = json.dumps({"worker_id": worker.name, "worker_name": worker.name, **self.registration}).encode()
        self._dial(worker, b"POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n%s" % (len(body), body), self._on_registered)

    def _head(self, worker):
        """The lines before the empty one, once they are all there, and what follows them stays buffered."""
        head, end, rest = worker.buffered.partition(b"\r\n\r\n")
        if not end:
            return None
        worker.buffered = rest
        return head.decode("latin-1")

    def _refused(self, worker, head):
        if not head.startswith("HTTP/1.1 503"):  # it is stopping: come back later
            self.refusals.append((worker.name, head.splitlines()[0]))
        self._failed(worker)

    def _on_registered(self, worker):
        if b"\r\n\r\n" not in worker.buffered:
            return
        head, _, body = worker.buffered.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)^content-length:\s*(\d+)", head, re.MULTILINE)
        if length and len(body) < int(length.group(1)):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._refused(worker, head.decode("latin-1"))
            return
        key = base64.b64encode(os.urandom(16)).decode()
        self._dial(worker, f"GET /ws/{worker.name} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                   f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode(),
                   self._on_opened)

    def _on_opened(self, worker):
        head = self._head(worker)
        if head is None:
            return
        if not head.startswith("HTTP/1.1 101"):
            self._refused(worker, head)
            return
        worker.failures = 0
        worker.received = self._on_frames
        self._beat(worker)
        if worker.buffered and worker.sock is not None:
            self._on_frames(worker)

    def _beat(self, worker):
        if worker.silent:
            return
        worker.draining = worker.flaps and not worker.draining
        self._at(worker, self.interval_s, self._beat)
        worker.beats += 1
        try:
            self._send(worker, masked(TEXT, b'{"status":"draining"}' if worker.draining else b'{"status":"alive"}'))
        except OSError:
            self._failed(worker)

    def _on_frames(self, worker):
        """The manager's frames are short and unmasked: its close, a ping, or the complaint about a beat."""
        while len(worker.buffered) >= 2 and len(worker.buffered) >= 2 + worker.buffered[1]:
            first_byte, length = worker.buffered[:2]
            payload, worker.buffered = worker.buffered[2:2 + length], worker.buffered[2 + length:]
            if first_byte == CLOSE:
                self.closes.append((worker.name, struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005))
                self._failed(worker)
                return
            if first_byte == PING:
                self._send(worker, masked(0x8A, payload))
            elif first_byte == TEXT:
                self.refusals.append((worker.name, payload.decode("utf-8")))
