"""The images, made once; what was measured, printed at the end; the containers' logs beside a test that failed."""
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))

from stack import ROOT, WORKERS, Stack, docker, run  # noqa: E402
from waiting import stopwatch  # noqa: E402

PUBLIC = {"BASE_IMAGE": "debian:bookworm-slim", "REDIS_IMAGE": "redis:7-alpine"}
LOG_TAIL = 6000

_figures = []
_stacks = []


@pytest.fixture(scope="session")
def figure():
    """figure(value, unit, what): something measured, printed at the end and judged by nobody."""
    return lambda value, unit, what: _figures.append(f"{value:8.3f} {unit:2}  {what}")


def has(image):
    return run(["docker", "image", "inspect", "--format", "{{.Id}}", image], check=False).returncode == 0


def pull(image):
    return run(["timeout", "120", "docker", "pull", "--quiet", image], check=False).returncode == 0


@pytest.fixture(scope="session")
def base_images(figure):
    """The public images where a registry can be reached, else those of deploy/base-image.sh."""
    if all(name in os.environ for name in PUBLIC):
        return {name: os.environ[name] for name in PUBLIC}
    watch = stopwatch()
    if all(has(image) or pull(image) for image in PUBLIC.values()):
        return PUBLIC
    lines = run([os.path.join(ROOT, "deploy", "base-image.sh")]).stdout.splitlines()
    assert [line.split("=")[0] for line in lines] == ["BASE_IMAGE", "REDIS_IMAGE"], lines
    figure(watch(), "s", "making the base images")
    return dict(line.split("=", 1) for line in lines)


def layers():
    return set(docker("image", "ls", "--all", "--quiet").split())


@pytest.fixture(scope="session")
def images(base_images, figure):
    """Variables for docker-compose that name all images; ours has a name that nobody else has, and goes afterwards."""
    ours = f"heartbeat-test:{os.getpid()}"
    names = {**base_images, "HEARTBEAT_IMAGE": ours}
    before = layers()
    made = []
    watch = stopwatch()
    try:
        built = Stack(names, "build").compose("build").stdout
        figure(watch(), "s", "docker-compose build")
        # The builder without BuildKit leaves the build stage behind, and says the id of each layer.
        made = [layer for layer in re.findall(r"^ ---> ([0-9a-f]{12})$", built, re.MULTILINE) if layer not in before]
        yield names
    finally:
        for image in (ours, *reversed(made)):
            docker("image", "rm", image, check=False)


@pytest.fixture(scope="module")
def started_stack(images, figure):
    """start(name, **env): a stack that is up, with four workers alive; gone at the end of the module."""
    stacks = []

    def start(name, **env):
        stack = Stack(images, name, **{key: str(value) for key, value in env.items()})
        stacks.append(stack)
        _stacks.append(stack)
        watch = stopwatch()
        stack.up()
        figure(watch(), "s", f"docker-compose up -d to {len(WORKERS)} alive")
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
    terminalreporter.section("figures")
    for line in _figures:
        terminalreporter.write_line(line)
