"""python -m Testing.faults --seed N [--count 1000] [--only KIND]; exit code 1 when anything was wrong or lost."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("VeloxSegSlicer", "Testing/engine", "Testing/training", "Testing/host", "Testing/Python")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m Testing.faults", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="another seed injects other faults")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in FOLDERS)]
    from . import campaign

    found = campaign.run(arguments.seed, arguments.count, arguments.only)
    print(found.table())
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
