"""That the bench of detection measures: its quick form, on this build, which says nothing about the promise."""
import json
import os
import subprocess

import pytest

from processes import BUILD_DIR

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "bench", "detect")
TIMEOUT_MS = 2000


@pytest.mark.parametrize("mode", ["idle", "loaded"])
def test_quick(tmp_path, mode):
    numbers = tmp_path / "numbers.json"
    run = subprocess.run([BENCH, "--build", BUILD_DIR, "--quick", "--only", mode, "--sockets", "500", "--wave", "400",
                          "--expiries", "800", "--json", numbers], capture_output=True, text=True, timeout=120)
    print(run.stdout, run.stderr)
    assert run.returncode == 0
    assert "early: 0  lost: 0  twice: 0  false: 0" in run.stdout
    (result,) = json.loads(numbers.read_text())
    heard = result["heard"]
    assert heard["count"] == result["at"]["count"] == 800
    assert 0 <= heard["earliest"] <= heard["p50"] <= heard["p99"] <= heard["p99.9"] <= heard["latest"]
    assert heard["p50"] < TIMEOUT_MS, "as late as another timeout: that is no measurement of the first"
    assert result["timer_heard"]["count"] > 100 and result["timer_woken"]["earliest"] >= 0
