"""Why an install failed: real runs of pip on small wheels, as Slicer starts it, and the sentence that the person reads."""

import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest

from VeloxSegSlicerLib.common import Errors
from VeloxSegSlicerLib.common.Errors import VeloxSegError
from VeloxSegSlicerLib.engine import PipFailure, Setup

NOBODY = 65534


def wheel(folder: Path, name: str, needs: str = "", python: str = "", tag: str = "py3-none-any", bulk: int = 0) -> Path:
    """A wheel with one module and so many bytes of data."""
    file = folder / f"{name}-1.0-{tag}.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    metadata += f"Requires-Python: {python}\n" if python else ""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{name}.bin", b"\0" * bulk)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return file


def failure(tmp_path: Path, *arguments: str, **process) -> VeloxSegError:
    """What the person is told when pip ends with an error; the target of the install is a folder."""
    command = [sys.executable, "-m", "pip", "install", "--target", str(tmp_path / "target"), "--retries", "0", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    with pytest.raises(VeloxSegError) as caught, PipFailure.typedErrors():
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_LOG": os.environ["PIP_LOG"], "TMPDIR": str(tmp_path)}
        # As Slicer does: what pip prints goes elsewhere, and the exception knows its exit code alone.
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **process)
    return caught.value


@pytest.fixture
def closedPort():
    """A port on this computer where nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


def test_noReleaseAtAll(tmp_path):
    error = failure(tmp_path, "--no-index", "no-such-package>=2")
    assert error.code == "INSTALL_NO_WHEEL"
    assert error.text.startswith("No release of no-such-package fits this Slicer (Python 3.")
    assert "No matching distribution found" in error.detail


@pytest.mark.parametrize("facts", [{"tag": "cp27-none-win32"}, {"python": ">=99"}], ids=["platform", "python"])
def test_noReleaseForThisPython(tmp_path, facts):
    wheel(tmp_path, "engine", **facts)
    error = failure(tmp_path, "--no-index", "--find-links", str(tmp_path), "engine")
    assert (error.code, error.facts["package"]) == ("INSTALL_NO_WHEEL", "engine")


def test_fileForAnotherPlatform(tmp_path):
    error = failure(tmp_path, "--no-index", str(wheel(tmp_path, "engine", tag="cp27-none-win32")))
    assert (error.code, error.facts["package"]) == ("INSTALL_NO_WHEEL", "a package of the engine")


def test_noServer(tmp_path, closedPort):
    error = failure(tmp_path, "--index-url", f"http://127.0.0.1:{closedPort}/simple", "engine")
    assert error.code == "INSTALL_NETWORK"
    assert error.text.startswith("The download server could not be reached.")


def test_noProxy(tmp_path, closedPort):
    server = ("--index-url", "https://packages.invalid/simple")
    assert failure(tmp_path, "--proxy", f"http://127.0.0.1:{closedPort}", *server, "engine").code == "INSTALL_NETWORK"


def test_strangeCertificate(tmp_path):
    """A server that speaks TLS with a certificate of its own, as a proxy that reads along does."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        + ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def answer(server):
        while True:
            try:
                context.wrap_socket(server.accept()[0], server_side=True).close()
            except ssl.SSLError:
                continue
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        error = failure(tmp_path, "--index-url", f"https://localhost:{server.getsockname()[1]}/simple", "engine")
    assert error.code == "INSTALL_CERTIFICATE"


def test_fullDisk(tmp_path):
    """A process that may write no file above a megabyte stands for a disk that is full."""
    file = wheel(tmp_path, "engine", bulk=3_000_000)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))}
    error = failure(tmp_path, "--no-index", str(file), **limit)
    assert (error.code, Errors.INSTALL in error.actions) == ("INSTALL_DISK", False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another account")
def test_foreignFolder(tmp_path):
    file = wheel(tmp_path, "engine")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    assert failure(tmp_path, "--no-index", "--no-cache-dir", str(file), user=NOBODY).code == "INSTALL_PERMISSION"


def test_conflict(tmp_path):
    files = [wheel(tmp_path, name, needs=f"third=={needs}") for name, needs in (("first", "1.0"), ("second", "2.0"))]
    wheel(tmp_path, "third")
    error = failure(tmp_path, "--no-index", "--find-links", str(tmp_path), *map(str, files))
    assert error.code == "INSTALL_CONFLICT"


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b"PK\x03\x04 and nothing more"], ids=["html", "cut"])
def test_damagedFile(tmp_path, content):
    (tmp_path / "engine-1.0-py3-none-any.whl").write_bytes(content)
    assert failure(tmp_path, "--no-index", "--find-links", str(tmp_path), "engine").code == "INSTALL_DOWNLOAD"


def test_otherFile(tmp_path):
    """The file of another release: pip says that it is not what was promised."""
    wheel(tmp_path, "engine").write_bytes(b"changed")
    (tmp_path / "wanted.txt").write_text(f"engine==1.0 --hash=sha256:{'0' * 64}\n")
    wanted = ("--require-hashes", "-r", str(tmp_path / "wanted.txt"))
    assert failure(tmp_path, "--no-index", "--find-links", str(tmp_path), *wanted).code == "INSTALL_DOWNLOAD"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "INSTALL_DISK"),
        ("ERROR: Could not install packages due to an OSError: [WinError 112] There is not enough space", "INSTALL_DISK"),
        ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: 'torch'", "INSTALL_PERMISSION"),
        ("ERROR: [WinError 32] The process cannot access the file because it is being used by another process", "INSTALL_IN_USE"),
        ("ERROR: something that nobody has seen yet", "INSTALL_FAILED"),
        ("", "INSTALL_FAILED"),
    ],
)
def test_otherSystems(said, code):
    """What cannot be made here."""
    assert PipFailure.errorOf(said).code == code


def test_serverThatAnsweredAtLast():
    """A warning of the first try is no reason when another error ends the run."""
    said = (
        "2026-11-30T20:00:00,123 WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError'\n"
        "2026-11-30T20:00:09,000 ERROR: Could not find a version that satisfies the requirement torch (from versions: 2.2.0)\n"
        "2026-11-30T20:00:09,001 ERROR: No matching distribution found for torch>=2.4\n"
    )
    assert PipFailure.errorOf(said).code == "INSTALL_NO_WHEEL"


@pytest.mark.parametrize("error", [ImportError("DLL load failed"), OSError("[WinError 126]"), RuntimeError("no PythonSlicer")])
def test_errorsBesidePip(monkeypatch, error):
    """The helper imports what it has installed; what fails there is told like a failed install."""

    def installTorch(**settings):
        raise error

    helper = types.SimpleNamespace(PyTorchUtilsLogic=lambda: types.SimpleNamespace(installTorch=installTorch))
    monkeypatch.setitem(sys.modules, "PyTorchUtils", helper)
    with pytest.raises(VeloxSegError) as caught:
        Setup.install(Setup.EngineState(Setup.MISSING))
    assert (caught.value.code, str(error) in caught.value.detail) == ("INSTALL_FAILED", True)
    assert "PIP_LOG" not in os.environ
