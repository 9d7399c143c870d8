"""The oldest promised and the newest releases of what the engine needs: computes every shipped example with both.

    make test-versions        or: python Testing/releases.py oldest

Beside the suite, because it downloads several GB. Each environment is made anew in .versions/ and removed when all examples hold.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "VeloxSegSlicer"
FOLDER = ROOT / ".versions"
CHOICES = ("oldest", "newest")
SEGMENT = ("segment", "--model", "petct-lesions-demo", "--device", "cpu", "--output", "result")


def wanted(choice: str) -> list[str]:
    """Arguments of pip for the packages that requirements.txt of the engine names."""
    lines = (MODULE / "veloxseg" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    return [name.replace(">=", "==") for name in names] if choice == "oldest" else ["--upgrade", *names]


def run(title: str, command: list[str], **settings) -> None:
    """Raises CalledProcessError."""
    print(f"{title}: {' '.join(command[1:])}", flush=True)
    begun = time.monotonic()
    subprocess.run(command, check=True, **settings)
    print(f"{title}: {time.monotonic() - begun:.0f} s", flush=True)


def test(choice: str) -> None:
    """Make the environment and compute. Raises CalledProcessError."""
    folder = FOLDER / choice
    venv.create(folder, clear=True, with_pip=True)
    python = str(folder / "bin" / "python")
    run(f"{choice}, install", [python, "-m", "pip", "install", "--only-binary", ":all:", "--no-cache-dir", *wanted(choice)])
    run(f"{choice}, packages", [python, "-m", "pip", "freeze"])
    environment = {**os.environ, "PYTHONPATH": str(MODULE), "PYTHONWARNINGS": "default"}
    example = MODULE / "Resources" / "Models" / "petct-lesions-demo" / "example"
    inputs = [f"--input={role}={example / f'{role}.nii.gz'}" for role in ("CT", "PET")]
    run(f"{choice}, check", [python, "-m", "veloxseg.service.check"], env=environment, cwd=folder)
    run(f"{choice}, segment", [python, "-m", "veloxseg", *SEGMENT, *inputs], env=environment, cwd=folder)
    for package in sorted((MODULE / "Resources" / "Models").iterdir()):
        verify = [python, "-m", "veloxseg", "models", "verify", str(package)]
        run(f"{choice}, {package.name}", verify, env=environment, cwd=folder)
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("choice", nargs="*", default=CHOICES, choices=CHOICES)
    for choice in parser.parse_args().choice:
        try:
            test(choice)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{choice}: failed with code {error.returncode}; the environment is {FOLDER / choice}")
    print("All examples hold with the oldest and the newest releases.")


if __name__ == "__main__":
    main()
