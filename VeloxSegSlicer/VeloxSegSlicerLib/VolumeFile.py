"""Volumes from files by Slicer's own reader."""

import slicer

from .Log import logger


def load(path: str, name: str, **properties: object):
    """Load a volume into the scene without showing it.

    :param properties: further ones of slicer.util.loadVolume.
    :return: the volume node; None when Slicer cannot read the file.
    """
    try:
        return slicer.util.loadVolume(str(path), {"name": name, "show": False, **properties})
    except RuntimeError as error:
        logger.warning("A volume could not be read: %s", error)
        return None
