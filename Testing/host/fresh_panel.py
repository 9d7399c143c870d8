"""Opens the panel in a fresh process, as the start of Slicer does, and says how that went; the tests read its last line.

python fresh_panel.py PICTURE       with QT_SCALE_FACTOR=2 as on a display of 200 %
"""

import json
import sys
import time
from pathlib import Path

import slicerhost

MODULE = Path(__file__).resolve().parents[2] / "VeloxSegSlicer" / "VeloxSegSlicer.py"


def main(picture: str) -> None:
    slicerhost.start()
    started = time.perf_counter()
    slicerhost.loadModule(MODULE)
    outer = slicerhost.showModule("VeloxSegSlicer")
    seconds = time.perf_counter() - started
    slicerhost.grabWidget(outer, picture)
    facts = {
        "seconds": seconds,
        "narrowest": slicerhost.narrowestPanel(outer),
        "ratio": outer.devicePixelRatio(),
    }
    slicerhost.unloadModules()
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1])
