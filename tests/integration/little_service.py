"""A service as the small projects have them: it answers GET with the status and body that it is told to."""
import http.server
import json
import threading

from processes import free_port


class LittleService:
    def __init__(self, status=200, body=None, port=None):
        self.status, self.body = status, body
        self.asked = []  # paths
        self.port = port or free_port()
        self.server = None
        self.start()

    def start(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                service.asked.append(self.path)
                body = b"pong" if service.body is None else json.dumps(service.body).encode()
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Nobody listens there any more."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
