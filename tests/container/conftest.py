"""The images, made once; what took how long, printed at the end; the containers' logs beside a test that failed."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))

from stack import ROOT, WORKERS, Stack, docker, environment, run  # noqa: E402
from waiting import stopwatch  # noqa: E402

PUBLIC = {"BASE_IMAGE": "debian:bookworm-slim", "REDIS_IMAGE": "redis:7-alpine"}
LOG_TAIL = 6000

_times = []
_stacks = []


@pytest.fixture(scope="session")
def took():
    """took(what, seconds): a time to print at the end."""
    return lambda what, seconds: _times.append((what, seconds))


def has(image):
    return run(["docker", "image", "inspect", "--format", "{{.Id}}", image], check=False).returncode == 0


def pull(image):
    return run(["timeout", "120", "docker", "pull", "--quiet", image], check=False).returncode == 0


@pytest.fixture(scope="session")
def base_images(took):
    """The public images where a registry can be reached, else those of deploy/base-image.sh."""
    if all(name in os.environ for name in PUBLIC):
        return {name: os.environ[name] for name in PUBLIC}
    watch = stopwatch()
    if all(has(image) or pull(image) for image in PUBLIC.values()):
        return PUBLIC
    lines = run([os.path.join(ROOT, "deploy", "base-image.sh")]).stdout.splitlines()
    assert [line.split("=")[0] for line in lines] == ["BASE_IMAGE", "REDIS_IMAGE"], lines
    took("base images, by deploy/base-image.sh", watch())
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="session")
def images(base_images, took):
    """Variables for docker-compose that name all images; ours under a name that nobody else has, and gone afterwards."""
    ours = f"heartbeat-test:{os.getpid()}"
    stage = f"heartbeat-test-build:{os.getpid()}"
    names = {**base_images, "HEARTBEAT_IMAGE": ours}
    watch = stopwatch()
    try:
        # The build stage gets a name too, so that it can be removed; docker-compose then finds it made.
        proxies = [word for name in ("http_proxy", "https_proxy", "no_proxy") if name in environment()
                   for word in ("--build-arg", name)]
        docker("build", "--target", "build", "--tag", stage, "--build-arg", f"BASE_IMAGE={names['BASE_IMAGE']}", *proxies,
               ".")
        run_compose_build(names)
        took("build of the image", watch())
        yield names
    finally:
        docker("image", "rm", ours, check=False)
        docker("image", "rm", stage, check=False)


def run_compose_build(names):
    Stack(names, "build").compose("build")


@pytest.fixture(scope="module")
def started_stack(images, took):
    """start(name, **env): a stack that is up, with four workers alive; gone at the end of the module."""
    stacks = []

    def start(name, **env):
        stack = Stack(images, name, **{key: str(value) for key, value in env.items()})
        stacks.append(stack)
        _stacks.append(stack)
        watch = stopwatch()
        stack.up()
        took(f"docker-compose up to {len(WORKERS)} alive", watch())
        return stack

    yield start
    for stack in stacks:
        stack.down()
        _stacks.remove(stack)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for stack in _stacks:
            log = stack.compose("logs", "--no-color", "--tail", "40", check=False).stdout
            report.sections.append((f"the end of the logs of {stack.project}", log[-LOG_TAIL:]))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("times")
    for what, seconds in _times:
        terminalreporter.write_line(f"{seconds:8.3f} s  {what}")
