"""A network of one's own: a namespace with its own loopback, packet filter and files in /etc. Needs root."""
import contextlib
import ctypes
import os
import shutil
import subprocess
import uuid

import pytest

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def _enter(path):
    with open(path, "rb") as namespace:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    def __init__(self, name):
        self.name = name
        self.etc = f"/etc/netns/{name}"

    @property
    def under(self):
        """What a program is started under to see this namespace's files in /etc too."""
        return ["ip", "netns", "exec", self.name]

    def write(self, path, text):
        """A file in /etc, for programs that are started under it from now on."""
        path = os.path.join(self.etc, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    def add_address(self, address):
        _run("ip", "address", "add", address, "dev", "lo")

    def drop(self, *match):
        """Packets like these vanish."""
        _run("nft", "add", "table", "ip", "holes")
        _run("nft", "add chain ip holes in { type filter hook input priority 0; }")
        _run("nft", "add", "rule", "ip", "holes", "in", *match, "drop")

    def drop_nothing(self):
        _run("nft", "delete", "table", "ip", "holes")


@contextlib.contextmanager
def namespace():
    """Sockets and processes of this thread, and of threads begun in it, are in the namespace until it ends."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            pytest.skip(f"a network namespace needs {tool}")
    space = Namespace(f"heartbeat-{uuid.uuid4().hex[:8]}")
    try:
        _run("ip", "netns", "add", space.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    home = f"/proc/self/task/{os.getpid()}/ns/net"
    with open(home, "rb") as outside:
        try:
            _enter(f"/run/netns/{space.name}")
            _run("ip", "link", "set", "lo", "up")
            space.write("hosts", "127.0.0.1 localhost\n")
            yield space
        finally:
            _libc.setns(outside.fileno(), CLONE_NEWNET)
            _run("ip", "netns", "delete", space.name)
            shutil.rmtree(space.etc, ignore_errors=True)
