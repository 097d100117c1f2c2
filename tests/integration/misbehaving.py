"""HTTP services with every vice that a polled one may have, each on a port of its own."""
import json
import socket
import threading

from processes import free_port

HALF_OF = 100
HUGE = 64 << 20  # far beyond what is kept of a body, and what sockets hold


class Service:
    """Listens until it is closed. `behave(connection, service)` is called, on a thread of its own, for each connection
    after its request was read up to `until`; it may be changed at any time."""

    def __init__(self, behave, host="127.0.0.1", port=None, tls=None, until=b"\r\n\r\n"):
        self.behave, self.tls, self.until = behave, tls, until
        self.asked = []  # request heads
        self.taken = 0   # answers of `huge` that were taken whole
        self.ended = threading.Event()
        self.listener = socket.create_server((host, port or free_port()), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.host = host
        self.url = f"http://{host}:{self.port}/health"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                if self.tls:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                head = b""
                while not head or self.until not in head:
                    chunk = connection.recv(65536)
                    if not chunk:
                        return
                    head += chunk
                self.asked.append(head.decode("latin-1"))
                self.behave(connection, self)
        except OSError:
            pass  # who asked has gone

    def close(self):
        self.ended.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # else the kernel goes on accepting for the thread that waits
        except OSError:
            pass
        self.listener.close()


def answers(code, body=b"", **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {code} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    if code != 204:
        lines.append(f"Content-Length: {len(body)}")
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda connection, service: connection.sendall(data)


def after(delay_s, behave):
    def behaviour(connection, service):
        service.ended.wait(delay_s)
        behave(connection, service)
    return behaviour


def never(connection, service):
    service.ended.wait()


def tarpit(connection, service):
    """A byte a second, of an answer that says it is fine."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not service.ended.wait(1):
        connection.sendall(b"{")


def half(connection, service):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HALF_OF + b"x" * (HALF_OF // 2))


def half_a_chunk(connection, service):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123")


def huge(connection, service):
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{"requests":7,"x":"' % HUGE)
    for _ in range(HUGE >> 20):
        connection.sendall(b"x" * (1 << 20))
    service.taken += 1


def endless_head(connection, service):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not service.ended.is_set():
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def says(data):
    return lambda connection, service: connection.sendall(data)
