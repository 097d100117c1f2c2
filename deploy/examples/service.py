#!/usr/bin/env python3
"""A service as the small projects have them: single-threaded, with a path that tells how it is. Standard library only.

It registers itself, if it is told where, and then answers: / with its name, the path (/health, or /ping) with 200 and
what it counts, or with 503 while it is unwell.

  healthy    no request ever fails
  degrading  of the ten requests between two looks at it five fail, every second time
  random     draws every --hold seconds whether it is well, with 80 %
"""
import argparse
import http.server
import json
import random
import threading
import time
import urllib.error
import urllib.request

RETRY_S = 0.5
REQUESTS_BETWEEN_LOOKS = 10


class Service:
    def __init__(self, name, behaviour, hold_s, attributes):
        self.name, self.behaviour, self.hold_s, self.attributes = name, behaviour, hold_s, attributes
        self.started = time.monotonic()
        self.looks = self.requests = self.errors = 0
        self.well = True
        self.drawn = self.started

    def draw(self):
        if self.behaviour == "random" and time.monotonic() - self.drawn >= self.hold_s:
            self.drawn = time.monotonic()
            self.well = random.random() < 0.8

    def look(self):
        """What the path says: status and body."""
        self.draw()
        self.looks += 1
        self.requests += REQUESTS_BETWEEN_LOOKS
        if self.behaviour == "degrading" and self.looks % 2 == 0:
            self.errors += REQUESTS_BETWEEN_LOOKS // 2
        return 200 if self.well else 503, {
            "status": "healthy" if self.well else "unhealthy", "uptime_sec": round(time.monotonic() - self.started, 3),
            "request_count": self.requests, "error_count": self.errors, "attributes": self.attributes}


def handler_of(service, path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == path:
                status, body = service.look()
            else:
                status, body = 200, {"message": f"Hello from {service.name}"}
            text = b"pong\n" if path == "/ping" and self.path == path and status == 200 else json.dumps(body).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    return Handler


def register(manager, registration):
    """Until the manager takes it: it may start after us."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(manager + "/register", json.dumps(registration).encode(), {"Content-Type": "application/json"})
    while True:
        try:
            with direct.open(request, timeout=5):
                print("registered with", manager, flush=True)
                return
        except (urllib.error.URLError, OSError) as error:
            print("not registered yet:", error, flush=True)
            time.sleep(RETRY_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/health")
    parser.add_argument("--behaviour", choices=["healthy", "degrading", "random"], default="healthy")
    parser.add_argument("--hold", type=float, default=4, help="seconds between draws")
    parser.add_argument("--attributes", type=json.loads, default={}, help="what its body says of it besides")
    parser.add_argument("--register", metavar="URL", help="of the manager")
    parser.add_argument("--register-attributes", type=json.loads, default={}, help="what it registers with")
    given = parser.parse_args()

    service = Service(given.name, given.behaviour, given.hold, given.attributes)
    server = http.server.HTTPServer(("", given.port), handler_of(service, given.path))
    if given.register:
        registration = {"id": given.name, "url": f"http://localhost:{given.port}", "attributes": given.register_attributes}
        threading.Thread(target=register, args=(given.register, registration), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
