"""The text behind Copy report: enough to help, nothing about the patient."""

import platform
import re
from pathlib import Path

import slicer

from . import Geometry, Setup
from .Models import ModelCard

LOG_LINES = 200
# Absolute paths of all three systems, up to the next space or quote.
PATHS = re.compile(r"""(?:[A-Za-z]:[\\/]|/|\\\\)(?:[^\s"'<>|:]+[\\/])+[^\s"'<>|:]*""")
UIDS = re.compile(r"\b[0-2](?:\.\d+){5,}\b")


def text(
    engine: Setup.EngineState, card: ModelCard | None, images: dict, device: str, stage: str, log: str
) -> str:
    """Versions, model, image sizes, stage and the end of the log, without names, identifiers and paths.

    :param images: role name -> volume node or None; only sizes and spacings are used.
    """
    lines = [
        f"Slicer {slicer.app.majorVersion}.{slicer.app.minorVersion} revision {slicer.app.revision}",
        f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}",
        f"AI engine {engine.status}, torch {engine.torchVersion or '-'}, device {device or '-'}",
        f"Model {card.id} {card.version} {card.weightsSha256[:12]}" if card else "Model -",
    ]
    lines += [
        f"Image {role}: {Geometry.worldGrid(node).description()}" for role, node in images.items() if node
    ]
    lines += [f"Stage: {stage or '-'}", "Log:", *log.splitlines()[-LOG_LINES:]]
    hidden = [str(node.GetName()) for node in images.values() if node]
    return _scrub("\n".join(lines), hidden)


def _scrub(report: str, names: list[str]) -> str:
    report = UIDS.sub("<identifier>", PATHS.sub("<path>", report))
    for name in names:
        if name:
            report = report.replace(name, "<image>")
    return report.replace(Path.home().name, "<user>") if len(Path.home().name) > 3 else report
