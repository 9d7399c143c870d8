"""train.py without what follows a training. Where KILL_ONCE names a file, rank 1 dies in its fourth step and leaves that file."""

import os
import signal
import sys
from pathlib import Path

from training import train
from training.losses import VeloxSegLoss
from training.settings import CONFIGS

mark = Path(os.environ["KILL_ONCE"]) if "KILL_ONCE" in os.environ else None
forward = VeloxSegLoss.forward
calls = 0


def forward_or_die(*arguments):
    global calls
    calls += 1
    if mark and calls == 4 and os.environ["RANK"] == "1" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(*arguments)


VeloxSegLoss.forward = forward_or_die
train.train(train.tyro.extras.overridable_config_cli(CONFIGS, args=sys.argv[1:]))
