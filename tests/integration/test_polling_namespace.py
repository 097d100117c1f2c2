"""Polling where the network itself is hostile: packets vanish, names never resolve, or resolve to what nobody may ask."""
import os
import resource
import socket
import ssl
import subprocess
from contextlib import ExitStack

import pytest

from listener import Listener
from misbehaving import Service, answers
from namespace import namespace
from polling import QUICK, assert_verdict, enrol, wait_outcome
from processes import Scene, free_port
from waiting import stopwatch, wait_for

GOOD = (True, "healthy", "alive", True)
GONE = (False, "dead", "not_responding", False)


@pytest.fixture
def space():
    with namespace() as entered:
        yield entered


@pytest.fixture
def scene(space, tmp_path, request):
    """As conftest's, but it ends before the namespace does."""
    request.node.scene = Scene(tmp_path)
    yield request.node.scene
    request.node.scene.close()


@pytest.fixture
def redis_server(scene):
    return scene.redis()


@pytest.fixture
def silent_dns(space):
    """A name server that takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.53", 53))
        space.write("resolv.conf", "nameserver 127.0.0.53\n")
        yield listener


def test_a_black_hole(space, scene, redis_server):
    manager = scene.manager(redis_server, **QUICK)
    with Service(answers(200)) as service:
        space.drop("tcp", "dport", str(service.port))
        enrol(manager, "hole", service.url)
        assert_verdict(manager, redis_server, "hole", *GONE, code=0)
        wait_outcome(manager, "hole", "unreachable")
        assert not service.asked


def test_no_way_there(scene, redis_server):
    manager = scene.manager(redis_server, **QUICK)
    enrol(manager, "nowhere", "http://10.1.2.3:8080")  # there is nothing but loopback here
    assert_verdict(manager, redis_server, "nowhere", *GONE, code=0)
    wait_outcome(manager, "nowhere", "unreachable")


def test_dns_that_never_answers(space, silent_dns, scene, redis_server):
    manager = scene.manager(redis_server, under=space.under, **QUICK)
    with Service(answers(200)) as service:
        enrol(manager, "good", service.url)
        for place in range(20):
            enrol(manager, f"nameless{place}", f"http://nameless{place}.example:8080/")
        assert_verdict(manager, redis_server, "nameless0", *GONE, code=0)
        wait_outcome(manager, "nameless0", "unresolved")
        assert silent_dns.recv(512), "it was asked"
        assert_verdict(manager, redis_server, "good", *GOOD, code=200)
        slowest = max(int(line["latency_us"]) for line in manager.events("polled")) / 1e6
        print(f"the longest poll took {slowest:.3f} s, POLL_TIMEOUT {QUICK['POLL_TIMEOUT']} s")
        assert not manager.events("manager_stall")
        assert not manager.events("curl_overtime")


def test_a_name_that_resolves_to_link_local(space, scene, redis_server):
    space.add_address("169.254.1.1/32")
    space.write("hosts", "127.0.0.1 localhost\n169.254.1.1 sneaky.example\n127.0.0.1 honest.example\n")
    manager = scene.manager(redis_server, under=space.under, **QUICK)
    with Service(answers(200), host="169.254.1.1") as sneaky, Service(answers(200)) as honest:
        enrol(manager, "sneaky", f"http://sneaky.example:{sneaky.port}")
        enrol(manager, "sneaky-tcp", f"tcp://sneaky.example:{sneaky.port}")
        enrol(manager, "sneaky-mapped", f"http://[::ffff:169.254.1.1]:{sneaky.port}")
        enrol(manager, "honest", f"http://honest.example:{honest.port}")
        assert_verdict(manager, redis_server, "honest", *GOOD, code=200)
        for worker in ("sneaky", "sneaky-tcp", "sneaky-mapped"):
            assert_verdict(manager, redis_server, worker, *GONE, code=0)
            wait_outcome(manager, worker, "blocked")
        assert not sneaky.asked


def test_a_name_that_is_rebound(space, scene, redis_server):
    """First it resolves to a good address, then to that of the metadata service."""
    space.add_address("169.254.169.254/32")
    space.write("hosts", "127.0.0.1 localhost rebound.example\n")
    manager = scene.manager(redis_server, under=space.under, **QUICK)
    port = free_port()
    with Service(answers(200), port=port) as good, Service(answers(200), host="169.254.169.254", port=port) as metadata:
        enrol(manager, "rebound", f"http://rebound.example:{port}")
        assert_verdict(manager, redis_server, "rebound", *GOOD, code=200)
        space.write("hosts", "127.0.0.1 localhost\n169.254.169.254 rebound.example\n")
        assert_verdict(manager, redis_server, "rebound", *GONE, code=0)
        assert good.asked and not metadata.asked


def test_a_redirect_to_the_metadata_service(space, scene, redis_server):
    space.add_address("169.254.169.254/32")
    manager = scene.manager(redis_server, **QUICK)
    with Service(answers(200), host="169.254.169.254", port=80) as metadata, \
            Service(answers(302, Location="http://169.254.169.254/latest/meta-data/")) as service:
        enrol(manager, "redirect", service.url)
        enrol(manager, "direct", metadata.url)
        assert_verdict(manager, redis_server, "redirect", False, "unhealthy", "alive", False, code=302)
        assert_verdict(manager, redis_server, "direct", *GONE, code=0)
        wait_outcome(manager, "direct", "blocked")
        assert not metadata.asked


def certificate(folder, *extra):
    """An authority, and what it signed for good.example."""
    run = lambda *command: subprocess.run(command, check=True, capture_output=True, cwd=folder)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=Test authority")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem",
        "-subj", "/CN=good.example")
    (folder / "names").write_text("subjectAltName=DNS:good.example\n", encoding="ascii")
    run("openssl", "x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "cert.pem", "-days", "2", "-extfile", "names")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, (folder / "ca.pem").read_text(encoding="ascii")


def test_https_with_the_systems_authorities(space, scene, redis_server, tmp_path):
    tls, authority = certificate(tmp_path)
    space.write("ssl/certs/ca-certificates.crt", authority)
    space.write("hosts", "127.0.0.1 localhost good.example other.example\n")
    manager = scene.manager(redis_server, under=space.under, **QUICK)
    with Service(answers(200, {"requests": 3}), tls=tls) as service:
        enrol(manager, "good", f"https://good.example:{service.port}")
        enrol(manager, "other", f"https://other.example:{service.port}")
        row = assert_verdict(manager, redis_server, "good", *GOOD, code=200)
        assert row["requests"] == 3
        assert_verdict(manager, redis_server, "other", *GONE, code=0)  # it is not the name it says
        wait_outcome(manager, "other", "tls_failed")


def test_it_comes_back(space, scene, redis_server):
    """Cut off and reached again: down and recovery, once each."""
    manager = scene.manager(redis_server, **QUICK)
    listener = Listener(redis_server)
    with Service(answers(200)) as service:
        enrol(manager, "s1", service.url)
        assert_verdict(manager, redis_server, "s1", *GOOD, code=200)
        space.drop("tcp", "dport", str(service.port))
        assert_verdict(manager, redis_server, "s1", *GONE, code=0)
        space.drop_nothing()
        assert_verdict(manager, redis_server, "s1", *GOOD, code=200)
    wait_for("all is heard", lambda: listener.channels("s1")[:3] == ["server:up", "server:down", "server:recovery"])


@pytest.mark.parametrize("spare", [0, 1, 2, 3, 4, 6])
def test_a_manager_without_descriptors_condemns_nobody(space, scene, redis_server, spare):
    """Names are looked up for each poll, which takes descriptors: one that cannot be is not one that nobody knows."""
    space.write("hosts", "127.0.0.1 service.example\n")
    manager = scene.manager(redis_server, under=space.under, **{**QUICK, "POLL_FALL": 1})
    pid = manager.popen.pid
    with ExitStack() as stack:
        services = {f"s{place}": stack.enter_context(Service(answers(200))) for place in range(8)}
        for worker, service in services.items():
            enrol(manager, worker, f"http://service.example:{service.port}")
        for worker in services:
            manager.wait_row(worker, health="healthy")
        manager.http.close()
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = set.intersection(*(set(map(int, os.listdir(f"/proc/{pid}/fd"))) for _ in range(100)))  # those that stay
        limit = [number for number in range(len(used) + spare + 1) if number not in used][spare]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        waited = stopwatch()
        wait_for("polls fell due meanwhile", lambda: waited() > 5 * QUICK["POLL_INTERVAL"])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        asked = {worker: len(service.asked) for worker, service in services.items()}
        for worker, service in services.items():
            wait_for("it is polled again", lambda: len(service.asked) > asked[worker] + 1)
        ends = {line["outcome"] for line in manager.events("polled")}
        assert ends == {"answered"}, ends
