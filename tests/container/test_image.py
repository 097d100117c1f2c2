"""What is in the image, and what docker-compose.yml makes of it."""
import json
import re

import pytest

from stack import ROOT, Stack, docker, run
from waiting import wait_for

ADDED_MB_MAX = 31  # to a base of 74


def documented(image, program):
    """The variables of --help-markdown, the README's table."""
    table = docker("run", "--rm", image, program, "--help-markdown")
    return re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)


@pytest.fixture(scope="module")
def image(images):
    return json.loads(docker("image", "inspect", images["HEARTBEAT_IMAGE"]))[0]


@pytest.fixture(scope="module")
def project(images):
    stack = Stack(images, "image")
    yield stack
    stack.down()


def test_the_image_is_small(image, base_images, figure):
    base = json.loads(docker("image", "inspect", base_images["BASE_IMAGE"]))[0]
    figure(image["Size"] / 1e6, "MB", "the image")
    figure(base["Size"] / 1e6, "MB", "of which its base")
    assert image["Size"] - base["Size"] <= ADDED_MB_MAX * 1e6


def test_the_image_is_not_root_and_says_what_it_is(image, images):
    config = image["Config"]
    assert config["User"] not in ("", "0", "root", "0:0")
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items()}
    assert labels["title"] == "Heartbeat Manager" and labels["licenses"] == "MIT" and labels["description"]
    version = docker("run", "--rm", images["HEARTBEAT_IMAGE"], "heartbeat-manager", "--version")
    assert labels["version"] in version
    assert "--health" in " ".join(config["Healthcheck"]["Test"])


def test_nothing_but_the_programs_was_added(images):
    search = "command -v curl gcc cmake redis-server"
    found = run(["docker", "run", "--rm", images["HEARTBEAT_IMAGE"], "sh", "-c", search], check=False)
    assert found.stdout == ""
    added = docker("run", "--rm", images["HEARTBEAT_IMAGE"], "ls", "/usr/local/bin").split()
    assert added == ["heartbeat-manager", "heartbeat-worker"]


@pytest.mark.parametrize("program, service", [("manager", "manager"), ("worker", "worker"), ("worker", "worker1")])
def test_every_documented_variable_is_passed_on(images, project, program, service):
    names = documented(images["HEARTBEAT_IMAGE"], f"heartbeat-{program}")
    assert len(names) > 10
    printed = project.compose("run", "--rm", "--no-deps", "-T", service, "env", **dict.fromkeys(names, "17")).stdout
    arrived = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    expected = dict.fromkeys(names, "17")
    if service == "worker1":
        expected["WORKER_ID"] = "worker1"  # the four have ids that no shell changes
    assert {name: arrived.get(name) for name in names} == expected


@pytest.mark.parametrize("service, name", [("manager", "HEARTBEAT_TIMEOUT"), ("worker2", "HEARTBEAT_INTERVAL")])
def test_a_wrong_value_ends_it_with_78_and_one_sentence(project, service, name):
    done = project.compose("run", "--rm", "--no-deps", "-T", service, check=False, **{name: "soon"})
    assert done.returncode == 78
    sentences = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    assert len(sentences) == 1
    assert "soon" in sentences[0]


def test_the_health_check_knows_which_program_it_is_in(images):
    """The image's own, without docker-compose: with and without an init in front of the program."""
    config = json.loads(docker("image", "inspect", images["HEARTBEAT_IMAGE"]))[0]["Config"]
    kind, command = config["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    for options in ([], ["--init"]):
        for program in ("heartbeat-manager", "heartbeat-worker"):
            container = docker("run", "--detach", "--rm", "--read-only", "--cap-drop", "ALL", *options,
                               images["HEARTBEAT_IMAGE"], program).strip()
            try:
                wait_for(f"{program} {options} is well",
                         lambda: run(["docker", "exec", container, "sh", "-c", command], check=False).returncode == 0)
            finally:
                docker("kill", container)


def test_the_readme_can_name_the_file_from_the_root():
    with open(f"{ROOT}/.env", encoding="utf-8") as env:
        assert "COMPOSE_FILE=deploy/docker-compose.yml" in env.read().splitlines()
