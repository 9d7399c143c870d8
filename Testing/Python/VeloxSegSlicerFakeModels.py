"""Plays `veloxseg models import|verify` without torch: four checks, then the end that the package's name asks for.

Call: python VeloxSegSlicerFakeModels.py models <action> <package> --folder <folder> --events. A package whose name contains
"bad" fails its third check, one that contains "slow" never ends, "taken" is refused without --replace; any other is copied to the
folder of models.
"""

import json
import shutil
import sys
import time
from pathlib import Path

CHECKS = ("safe", "card", "weights", "test")
LONG = 60.0


def send(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    action, package, folder = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[5])
    send("hello", engine="0.0.fake", python="3", protocol=1)
    for check in CHECKS if action == "import" else CHECKS[1:]:
        send("check", name=check, state="running", text="")
        if check == "weights" and "bad" in package.name:
            send("error", code="MODEL_CORRUPT", text="The model is damaged (LICENSE has been changed).", detail="")
            sys.exit(3)
        if "slow" in package.name:
            time.sleep(LONG)
        send("check", name=check, state="passed", text="")
    target = package
    if "taken" in package.name and "--replace" not in sys.argv:
        send("error", code="MODEL_EXISTS", text="Another model is already here.", detail="")
        sys.exit(2)
    if action == "import":
        card = json.loads((package / "configs" / "velox.json").read_text(encoding="utf-8"))
        target = folder / f"{card['id']}-{card['version']}"
        shutil.copytree(package, target)
    send("result", text="", folder=str(target))


main()
