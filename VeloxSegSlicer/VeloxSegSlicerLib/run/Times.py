"""How long a run takes on this computer: as the last one of its kind did, else as the check of this computer promises."""

import math

import numpy as np
import qt
from slicer.i18n import tr as _

from ..common.Models import ModelCard
from ..common.Parameters import Quality
from ..images import RunEstimate
from ..images.InputImage import readAll

PREFIX = "VeloxSegSlicer/Seconds"


def remember(card: ModelCard, images: dict, quality: Quality, device: str, seconds: float) -> None:
    """Keep the time of a run for images of about this size.

    :param images: role name -> volume node.
    :param device: as in the request.
    """
    qt.QSettings().setValue(_key(card, images, quality, device), round(seconds, 1))


def about(card: ModelCard, images: dict, quality: Quality, device: str, options) -> float | None:
    """Seconds of a run, None when nothing is known.

    :param images: role name -> volume node, all of them chosen.
    :param options: decisions about the images, which say what region is computed.
    """
    measured = RunEstimate.storedNumber(_key(card, images, quality, device))
    if measured:
        return measured
    if card.takes_photo or not RunEstimate.isChecked():
        return None
    return RunEstimate.estimate(card, readAll(images), options, quality.request(card)).seconds


def inWords(seconds: float) -> str:
    """Such as: about 25 s."""
    if seconds < 90:
        return _("about {seconds} s").format(seconds=max(1, round(seconds)))
    return _("about {minutes} min").format(minutes=round(seconds / 60))


def leftInWords(seconds: float | None) -> str:
    """The time left in words, "" when unknown."""
    if seconds is None:
        return ""
    if seconds < 60:
        return _("{seconds} s left").format(seconds=max(1, round(seconds)))
    return _("about {minutes} min left").format(minutes=round(seconds / 60))


def _key(card: ModelCard, images: dict, quality: Quality, device: str) -> str:
    voxels = np.prod(images[card.reference.name].GetImageData().GetDimensions())
    return f"{PREFIX}/{card.key}/{quality.name}/{device.replace(':', '')}/{round(math.log2(voxels))}"
