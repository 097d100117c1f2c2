"""How the programs are configured, and what they say when that is wrong."""
import json
import os
import re
import resource
import socket
import subprocess

import pytest

from processes import binary, free_port

MANAGER, WORKER = "heartbeat-manager", "heartbeat-worker"
OPTIONS = {
    MANAGER: ["REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD", "HEARTBEAT_TIMEOUT", "BIND_HOST",
              "MANAGER_PORT", "MANAGER_ID", "DISCONNECT_GRACE", "RESTART_GRACE", "REAP_AFTER", "MAX_WORKERS",
              "REDIS_FLUSH_INTERVAL", "ALLOWED_ORIGINS", "POLL_INTERVAL", "POLL_TIMEOUT", "POLL_CONCURRENCY", "POLL_FALL",
              "POLL_RISE", "POLL_FAST_INTERVAL", "ERROR_RATE_DEGRADED", "POLL_ALLOW_CIDRS", "TARGETS_FILE",
              "HEALTH_STATUS_FILE", "METRICS_DEFAULT_FORMAT", "METRICS_PER_WORKER", "LOG_LEVEL", "LOG_FORMAT"],
    WORKER: ["WORKER_NAME", "WORKER_PORT", "MANAGER_HOST", "MANAGER_PORT", "HEARTBEAT_INTERVAL", "WORKER_ID", "WORKER_HOST",
             "BIND_HOST", "WORKER_ATTRIBUTES", "WORKER_POLL", "WORKER_BEHAVIOUR", "RECONNECT_MAX", "DRAIN_SECONDS",
             "LOG_LEVEL", "LOG_FORMAT"],
}


def run(program, *flags, **env):
    return subprocess.run([binary(program), *flags], env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize("program", [MANAGER, WORKER])
def test_help_names_every_option(program):
    result = run(program, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for name in OPTIONS[program]:
        assert re.search(rf"\b{name}\b|--{name.lower().replace('_', '-')}\b", result.stdout), name


@pytest.mark.parametrize("program", [MANAGER, WORKER])
def test_version(program):
    result = run(program, "--version")
    assert result.returncode == 0
    assert re.search(r"\d+\.\d+\.\d+", result.stdout)


@pytest.mark.parametrize("program", [MANAGER, WORKER])
def test_check_config(program):
    result = run(program, "--check-config", "--manager-port", "1234", REDIS_PASSWORD="hidden", LOG_LEVEL="WARN")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("ok")
    assert "1234" in result.stdout
    assert "hidden" not in result.stdout


WRONG = [
    (MANAGER, "REDIS_PORT", "0"), (MANAGER, "REDIS_PORT", "65536"), (MANAGER, "REDIS_PORT", "six"),
    (MANAGER, "REDIS_DB", "-1"), (MANAGER, "HEARTBEAT_TIMEOUT", "0"), (MANAGER, "HEARTBEAT_TIMEOUT", "-3"),
    (MANAGER, "HEARTBEAT_TIMEOUT", "15s"), (MANAGER, "HEARTBEAT_TIMEOUT", "nan"), (MANAGER, "HEARTBEAT_TIMEOUT", "1e9"),
    (MANAGER, "MANAGER_PORT", "99999"), (MANAGER, "MANAGER_PORT", "80 80"), (MANAGER, "MANAGER_ID", "a b"),
    (MANAGER, "DISCONNECT_GRACE", "-1"), (MANAGER, "RESTART_GRACE", "x"), (MANAGER, "REAP_AFTER", "-1"),
    (MANAGER, "MAX_WORKERS", "0"), (MANAGER, "MAX_WORKERS", "many"), (MANAGER, "REDIS_FLUSH_INTERVAL", "-1"),
    (MANAGER, "LOG_LEVEL", "loud"), (MANAGER, "LOG_FORMAT", "xml"),
    (MANAGER, "POLL_INTERVAL", "0"), (MANAGER, "POLL_TIMEOUT", "61"), (MANAGER, "POLL_CONCURRENCY", "0"),
    (MANAGER, "POLL_CONCURRENCY", "10001"), (MANAGER, "POLL_FALL", "0"), (MANAGER, "POLL_RISE", "101"),
    (MANAGER, "POLL_FAST_INTERVAL", "soon"), (MANAGER, "ERROR_RATE_DEGRADED", "1.01"),
    (MANAGER, "ERROR_RATE_DEGRADED", "10%"), (MANAGER, "POLL_ALLOW_CIDRS", "10.0.0.0/33"),
    (MANAGER, "POLL_ALLOW_CIDRS", "10.1.2.3/8"), (MANAGER, "POLL_ALLOW_CIDRS", ","), (MANAGER, "POLL_ALLOW_CIDRS", " , ,"),
    (MANAGER, "METRICS_DEFAULT_FORMAT", "xml"),
    (MANAGER, "METRICS_PER_WORKER", "some"),
    (WORKER, "WORKER_PORT", "0"), (WORKER, "MANAGER_PORT", "x"), (WORKER, "HEARTBEAT_INTERVAL", "0"),
    (WORKER, "HEARTBEAT_INTERVAL", "soon"), (WORKER, "WORKER_ID", "a/b"), (WORKER, "WORKER_ID", "i" * 65),
    (WORKER, "WORKER_NAME", "n" * 129), (WORKER, "WORKER_ATTRIBUTES", "novalue"), (WORKER, "WORKER_BEHAVIOUR", "moody"),
    (WORKER, "WORKER_POLL", "perhaps"), (WORKER, "RECONNECT_MAX", "-1"), (WORKER, "DRAIN_SECONDS", "-1"),
    (WORKER, "LOG_LEVEL", "9"),
]


@pytest.mark.parametrize("program, name, value", WRONG, ids=lambda value: value[:20])
def test_a_wrong_value_is_named_with_its_rule(program, name, value):
    as_variable = run(program, **{name: value})
    assert as_variable.returncode == 78
    sentence, = [line for line in as_variable.stderr.splitlines() if name in line]
    assert value[:32] in sentence and "must" in sentence

    flag = "--" + name.lower().replace("_", "-")
    as_flag = run(program, f"{flag}={value}")
    assert as_flag.returncode == 78
    assert flag in as_flag.stderr or name in as_flag.stderr


def test_polls_leave_descriptors_for_workers():
    limit = 1600

    def run_limited(concurrency):
        return subprocess.run([binary(MANAGER), "--check-config"], env={"POLL_CONCURRENCY": str(concurrency)}, timeout=60,
                              capture_output=True, text=True, check=False,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))

    most = limit // 2 // 4
    assert run_limited(most).returncode == 0
    beyond = run_limited(most + 1)
    assert beyond.returncode == 78
    assert f"POLL_CONCURRENCY={most + 1}: must be at most {most} " in beyond.stderr and str(limit) in beyond.stderr


def test_all_errors_at_once():
    result = run(MANAGER, REDIS_PORT="x", HEARTBEAT_TIMEOUT="y", LOG_LEVEL="z", MAX_WORKERS="0")
    assert result.returncode == 78
    for name in ("REDIS_PORT", "HEARTBEAT_TIMEOUT", "LOG_LEVEL", "MAX_WORKERS"):
        assert name in result.stderr


def test_a_kubernetes_service_link_gets_its_own_sentence():
    result = run(MANAGER, REDIS_PORT="tcp://10.0.0.1:6379")
    assert result.returncode == 78
    assert "Kubernetes" in result.stderr


@pytest.mark.parametrize("program", [MANAGER, WORKER])
@pytest.mark.parametrize("flags", [["--nonsense"], ["stray"], ["--manager-port"]])
def test_wrong_usage(program, flags):
    result = run(program, *flags)
    assert result.returncode == 64
    assert flags[0] in result.stderr


def test_a_flag_wins_over_the_variable():
    result = run(MANAGER, "--manager-port", "1111", "--check-config", MANAGER_PORT="2222")
    assert "1111" in result.stdout and "2222" not in result.stdout


def test_a_secret_from_a_file(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hidden\n", encoding="utf-8")
    assert run(MANAGER, "--check-config", REDIS_PASSWORD_FILE=str(secret)).returncode == 0
    both = run(MANAGER, REDIS_PASSWORD="other", REDIS_PASSWORD_FILE=str(secret))
    assert both.returncode == 78
    assert "REDIS_PASSWORD_FILE" in both.stderr and "hidden" not in both.stderr and "other" not in both.stderr
    gone = run(MANAGER, REDIS_PASSWORD_FILE=str(tmp_path / "none"))
    assert gone.returncode == 78


@pytest.mark.parametrize("program, name", [(MANAGER, "MANAGER_PORT"), (WORKER, "WORKER_PORT")])
def test_a_port_in_use(program, name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run(program, **{"BIND_HOST": "127.0.0.1", "REDIS_PORT": str(free_port()), name: port})
    assert result.returncode == 69
    assert port in result.stderr


def test_json_logs(scene, redis_server):
    manager = scene.manager(redis_server, LOG_FORMAT="JSON", LOG_LEVEL="Debug")
    manager.register("w1")
    manager.stop()
    lines = [json.loads(line) for line in manager.log().splitlines()]
    assert {"ts", "level", "component", "event"} <= set.intersection(*(set(line) for line in lines))
    assert lines[-1]["event"] == "stopped"
