"""Fixtures. A scene starts real programs (processes.py) and gives a failed test's report the end of their logs."""
import pytest

from processes import Scene

LOG_TAIL = 6000


@pytest.fixture
def scene(tmp_path, request):
    request.node.scene = Scene(tmp_path)
    yield request.node.scene
    request.node.scene.close()


@pytest.fixture(scope="module")
def module_scene(tmp_path_factory, request):
    request.node.scene = Scene(tmp_path_factory.mktemp("scene"))
    yield request.node.scene
    request.node.scene.close()


@pytest.fixture
def redis_server(scene):
    return scene.redis()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for node in (item, item.getparent(pytest.Module)):
            for process in getattr(getattr(node, "scene", None), "processes", []):
                report.sections.append((f"the end of {process.log_path}", process.log()[-LOG_TAIL:]))
