"""What the panel says while a run goes on."""

from slicer.i18n import tr as _

from ..common.Models import ModelCard
from ..engine.Protocol import Progress
from ..run import Times


def progressText(card: ModelCard, progress: Progress) -> str:
    """Such as: Window 12 of 40 - 14 s left. An ensemble on a photo: Run 3 of 10, step 7 of 10 - 20 s left."""
    calls = card.sampling["calls"] if card.has_ensemble and card.takes_photo else 0
    if calls and progress.total % calls == 0:
        done = min(progress.done, progress.total - 1)
        text = _("Run {run} of {runs}, step {step} of {steps}").format(
            run=done // calls + 1, runs=progress.total // calls, step=done % calls + 1, steps=calls
        )
    else:
        text = _("Window {done} of {total}").format(done=progress.done, total=progress.total)
    return " - ".join(part for part in (text, Times.leftInWords(progress.secondsLeft)) if part)


def noteText(code: str) -> str:
    """What a note of the engine means for the person who waits; "" for notes that only the log needs."""
    return {
        "RETRY_HALF": _("Graphics memory was short. Continuing in half precision."),
        "RETRY_CPU": _("Graphics memory is too small for this image. Continuing on the CPU, which takes longer."),
    }.get(code, "")
