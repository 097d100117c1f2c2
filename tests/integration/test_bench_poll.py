"""That the bench of polling measures: a short form of it on this build, which says nothing about the bar."""
import json
import os
import shutil
import subprocess

import pytest

from processes import BUILD_DIR

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "bench", "poll")
TARGETS, RATE, CONCURRENCY = 300, 150, 3
EXPORTER_MISSING = shutil.which("prometheus-blackbox-exporter") is None


def measured(tmp_path, *options):
    numbers = tmp_path / "numbers.json"
    run = subprocess.run([BENCH, "--build", BUILD_DIR, "--rounds", "1", "--seconds", "3", "--targets", str(TARGETS),
                          "--rate", str(RATE), "--concurrency", str(CONCURRENCY), "--json", numbers, *options],
                         capture_output=True, text=True, timeout=300)
    print(run.stdout, run.stderr)
    assert run.returncode == 0
    return json.loads(numbers.read_text())


def look_over(result):
    assert result["checks"] > 0 and result["cpu_us_per_check"] > 0
    assert 1 <= result["under_way_most"] <= CONCURRENCY
    assert result["idle_ms_per_s"] < 1000 * result["cpu_share"], "as busy without checks: that is no measurement of them"


def test_manager_alone(tmp_path):
    numbers = measured(tmp_path, "--only", "manager")
    steady, flat_out = numbers["rounds"]
    assert (steady["rate_wanted"], flat_out["rate_wanted"]) == (RATE, 0)
    for result in steady, flat_out:
        assert result["kind"] == "manager"
        look_over(result)
    # each once per interval, and never a backlog: in any span one more than fit into it
    intervals = steady["checks"] / steady["rate"] * RATE / TARGETS
    assert steady["checks"] <= TARGETS * (intervals + 1)


@pytest.mark.skipif(EXPORTER_MISSING, reason="prometheus-blackbox-exporter is missing: deploy/packages.sh bench")
def test_beside_the_exporter(tmp_path):
    numbers = measured(tmp_path, "--no-flat-out")
    exporter, manager = numbers["rounds"]
    assert (exporter["kind"], manager["kind"]) == ("exporter", "manager")
    for result in exporter, manager:
        look_over(result)
    ratio = next(verdict["value"] for verdict in numbers["verdicts"] if "exporter" in verdict["what"])
    assert ratio == pytest.approx(manager["cpu_us_per_check"] / exporter["cpu_us_per_check"])
