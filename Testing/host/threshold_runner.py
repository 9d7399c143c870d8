"""The engine's own runner around a stand-in network that cuts the reference image at half of its range.

    python threshold_runner.py PAUSE SHORTAGES --serve

With it the panel, the pipeline and the measures run for real, and what must come out of a phantom is known. PAUSE: seconds
for each window. SHORTAGES: how often the memory of an imitated graphics card runs out; 0 for no card.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VeloxSegSlicer"))

from veloxseg.contract.card import Card
from veloxseg.packages import packages
from veloxseg.service import runner

SHARPNESS = 40.0


def read(folder):
    """A package whose network is the threshold; its weights are not looked at."""
    card = Card.of(json.loads((Path(folder) / "configs" / "velox.json").read_text(encoding="utf-8")))
    return SimpleNamespace(card=card, folder=Path(folder), check_weights=lambda: None, network=lambda device: threshold(card))


def threshold(card):
    """Logits of background and label 1: above half of the reference channel's range it is the label."""
    import torch

    channel = next(index for index, role in enumerate(card.roles) if role.is_reference)

    def network(x):
        time.sleep(pause)
        if shortages:
            shortages.pop()
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        score = SHARPNESS * (x[:, channel] - 0.5)
        return torch.stack([torch.zeros_like(score), score], dim=1)

    return network


def imitateCard():
    """A card that is found by itself, and computes on the CPU."""
    import torch

    from veloxseg.inference import devices

    class Card(devices.Device):
        is_cpu = False

    choose = devices.choose
    devices.choose = lambda wanted="auto": Card(torch.device("cpu"), "Small card") if wanted == "auto" else choose(wanted)


if __name__ == "__main__":
    pause, shortages = float(sys.argv[1]), [None] * int(sys.argv[2])
    packages.read = read
    if shortages:
        imitateCard()
    sys.exit(runner.main(sys.argv[3:]))
