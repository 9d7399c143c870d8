"""For all tests: no imported models, how they are shared out to several processes, and a word in every long wait."""

import os
import tempfile
import threading
import time

import pytest

os.environ["VELOXSEG_MODELS"] = os.path.join(tempfile.gettempdir(), "veloxseg-tests-have-no-imported-models")

# Those of the panel stay together: they share one application, and the acceptance record is written from all of them.
PANEL = ("Testing/host/", "Testing/Python/")
SILENCE_SECONDS = 10


class Heartbeat:
    """Names the tests that are running whenever nothing was printed for a while."""

    def __init__(self, reporter) -> None:
        self._reporter = reporter
        self._running: dict[str, float] = {}
        self._heard = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self) -> None:
        self._heard = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_sessionfinish(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(1):
            now = time.monotonic()
            if now - self._heard >= SILENCE_SECONDS:
                running = [f"{nodeid} for {now - begun:.0f} s" for nodeid, begun in list(self._running.items())]
                self._reporter.write_line(f"\nrunning: {', '.join(running)}" if running else "collecting tests ...")
                self._heard = now


@pytest.hookimpl(trylast=True)
def pytest_configure(config) -> None:
    # A worker has nobody to talk to.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Heartbeat(config.pluginmanager.getplugin("terminalreporter")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hands out whole files, whose tests share what is costly to make."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "panel" if file.startswith(PANEL) else file

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def scripts_find_their_own_folder():
    """Pools of processes set PYTHONSAFEPATH for good, which is right for a command and not for the tests after it."""
    os.environ.pop("PYTHONSAFEPATH", None)
    yield
    os.environ.pop("PYTHONSAFEPATH", None)
