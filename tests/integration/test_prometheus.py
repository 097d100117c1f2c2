"""A real Prometheus, which scrapes the manager and learns from it where the workers are."""
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest
import requests

from processes import Process, free_port
from waiting import wait_for

CONFIG = """
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
scrape_configs:
  - job_name: manager
    static_configs:
      - targets: ["127.0.0.1:{manager}"]
  - job_name: workers
    http_sd_configs:
      - url: http://127.0.0.1:{manager}/sd/prometheus
        refresh_interval: 250ms
    relabel_configs:
      - source_labels: [__meta_heartbeat_attribute_zone]
        target_label: zone
      - source_labels: [__meta_heartbeat_status]
        regex: registered
        action: drop
"""
HOSTILE = 'a"b\\c {x="1"} é'


class Metrics(http.server.BaseHTTPRequestHandler):
    """A service with metrics of its own."""

    def do_GET(self):
        body = f"own_port {self.server.server_address[1]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serving(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def service():
    """Gives the ports of a service on 127.0.0.1 and of one on ::1, the latter 0 where there is no IPv6."""
    servers = [serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics))]
    try:
        servers.append(serving(Server6(("::1", 0), Metrics)))
    except OSError:
        pass
    yield [server.server_address[1] for server in servers] + [0] * (2 - len(servers))
    for server in servers:
        server.shutdown()
        server.server_close()


class Prometheus(Process):
    def __init__(self, directory, manager):
        if shutil.which("prometheus") is None:
            pytest.skip("prometheus is not installed (deploy/packages.sh test)")
        self.port = free_port()
        self.config = os.path.join(directory, "prometheus.yml")
        with open(self.config, "w", encoding="ascii") as config:
            config.write(CONFIG.format(manager=manager.port))
        super().__init__("prometheus", [
            "prometheus", f"--config.file={self.config}", f"--web.listen-address=127.0.0.1:{self.port}",
            f"--storage.tsdb.path={os.path.join(directory, 'tsdb')}"], {}, directory)

    def ask(self, path, **query):
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def targets(self):
        """Job and instance to (health, labels, error)."""
        return {(target["labels"]["job"], target["labels"]["instance"]):
                (target["health"], target["labels"], target["lastError"])
                for target in self.ask("targets")["activeTargets"]}

    def query(self, expression):
        return self.ask("query", query=expression)["result"]


@pytest.fixture
def prometheus(scene):
    started = []

    def start(manager):
        started.append(Prometheus(scene.directory, manager).start())
        return started[0]
    yield start
    for process in started:
        process.stop()


def test_it_scrapes_and_discovers(scene, service, prometheus):
    port, port6 = service
    manager = scene.manager(HEARTBEAT_TIMEOUT=3600, METRICS_PER_WORKER=1, POLL_INTERVAL=0.2)
    manager.register("beating", port=port, worker_name=HOSTILE, attributes={"zone": "eu-1", "a.b/c": "x"})
    manager.get("/workers/beating/heartbeat")
    expected = {("manager", f"127.0.0.1:{manager.port}"), ("workers", f"127.0.0.1:{port}")}
    if port6:
        manager.post("/register", {"id": "polled", "url": f"http://[::1]:{port6}/health"})
        manager.wait_row("polled", status="alive", health="healthy")
        expected.add(("workers", f"[::1]:{port6}"))
    manager.register("never-heard-of", port=1)  # dropped by its status
    prometheus = prometheus(manager)

    def all_up():
        targets = prometheus.targets()
        return targets if set(targets) == expected and all(seen[0] == "up" for seen in targets.values()) else None
    try:
        targets = wait_for("all targets are up", all_up)
    except AssertionError as error:
        raise AssertionError(f"{error}; {prometheus.targets()}\n{prometheus.log()[-3000:]}") from None
    labels = targets[("workers", f"127.0.0.1:{port}")][1]
    assert (labels["worker_id"], labels["worker_name"], labels["zone"]) == ("beating", HOSTILE, "eu-1")
    assert not any(name.startswith("__") for name in labels)

    def value(expression):
        result = prometheus.query(expression)
        return float(result[0]["value"][1]) if len(result) == 1 else None
    wait_for("the service's own series", lambda: value('own_port{worker_id="beating"}') == port)
    wait_for("the manager's series", lambda: value("heartbeat_manager_beats_total") == 1)
    wait_for("the worker's series", lambda: value(f"heartbeat_worker_up{{worker_name={json.dumps(HOSTILE)}}}") == 1)
    if port6:
        wait_for("the check's series", lambda: value('heartbeat_worker_poll_status_code{worker_id="polled"}') == 200)
        wait_for("a quantile of the histogram", lambda: value(
            "histogram_quantile(0.5, heartbeat_manager_poll_duration_seconds_bucket)"))
    manager.delete("/workers/beating")
    wait_for("a removed worker is no target any more",
             lambda: ("workers", f"127.0.0.1:{port}") not in prometheus.targets())


def test_promtool_accepts_the_discovery(scene, service):
    """As `promtool check service-discovery` reads it, with an empty list too."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (deploy/packages.sh test)")
    manager = scene.manager()
    config = os.path.join(scene.directory, "prometheus.yml")
    with open(config, "w", encoding="ascii") as file:
        file.write(CONFIG.format(manager=manager.port))

    def discovered():
        checked = subprocess.run(["promtool", "check", "service-discovery", "--timeout=3s", config, "workers"],
                                 capture_output=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stderr
        return json.loads(checked.stdout)
    assert not discovered()
    manager.register("w1", port=service[0], attributes={"zone": "eu-1"})
    manager.get("/workers/w1/heartbeat")
    found, = discovered()
    assert found["discoveredLabels"]["__meta_heartbeat_attribute_zone"] == "eu-1"
    assert found["discoveredLabels"]["__meta_heartbeat_status"] == "alive"
    assert found["labels"] == {"instance": f"127.0.0.1:{service[0]}", "job": "workers", "worker_id": "w1",
                               "worker_name": "w1", "zone": "eu-1", **{
                                   name: value for name, value in found["labels"].items() if name.startswith("__")}}
