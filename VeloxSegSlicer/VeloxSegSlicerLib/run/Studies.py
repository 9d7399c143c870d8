"""Studies in the scene as cases of a batch: which images belong together, and their files."""

import re
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from veloxseg.contract import csv_text

from ..common import Geometry, VolumeFile
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..images import Inputs

LIST_FILE = "cases.csv"
UNUSABLE = re.compile(r'[\\/:*?"<>|\x00-\x1f]+|^[.\s]+|[.\s]+$')


@dataclass(frozen=True)
class Study:
    """One case: name, node ids by role, and why it cannot be computed, "" when it can."""

    name: str
    nodeIds: dict
    problem: str = ""


def inScene(card: ModelCard) -> list[Study]:
    """The studies of the scene that hold images; images without a study are one case together."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    groups: dict[int, list] = {}
    for node in Inputs.imagesInScene():
        groups.setdefault(_studyItem(hierarchy, node), []).append(node)
    taken: set[str] = set()
    return [_study(card, _newName(hierarchy, item, taken), nodes) for item, nodes in groups.items()]


class Export:
    """Writes the images of studies to files, one image at each call, so that Slicer stays responsive."""

    def __init__(self, studies: list[Study], card: ModelCard, folder: Path) -> None:
        """:param folder: an existing folder for the files and their list."""
        self.listFile = folder / LIST_FILE
        self._card = card
        self._folder = folder
        self._rows = [[study.name] for study in studies]
        self._todo = [(row, role, study.nodeIds[role.name]) for row, study in enumerate(studies) for role in card.roles]
        self.total = len(self._todo)

    @property
    def done(self) -> int:
        """How many images are written."""
        return self.total - len(self._todo)

    def step(self) -> bool:
        """Write the next image, or at the end the list; returns whether there is more to do.

        :raises VeloxSegError: EXPORT_FAILED or DISK_FULL; ROLE_MISSING when a node was deleted meanwhile.
        """
        if not self._todo:
            self._writeList()
            return False
        row, role, nodeId = self._todo.pop(0)
        node = slicer.mrmlScene.GetNodeByID(nodeId)
        if node is None:
            raise VeloxSegError("ROLE_MISSING", role=role.title)
        path = self._folder / f"{row + 1}-{role.name}.nrrd"
        VolumeFile.write(Geometry.copyInWorld(node), path, role.title)
        self._rows[row].append(path.name)
        return True

    def _writeList(self) -> None:
        columns = ["case", *(role.name for role in self._card.roles)]
        rows = [dict(zip(columns, row, strict=True)) for row in self._rows]
        self.listFile.write_text(csv_text.table(rows, columns), encoding="utf-8", newline="")


def _studyItem(hierarchy, node) -> int:
    """The item of the study, or of the folder, in which a node lies; the scene's item when in none."""
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()


def _newName(hierarchy, item: int, taken: set[str]) -> str:
    isScene = item == hierarchy.GetSceneItemID()
    base = UNUSABLE.sub("_", "" if isScene else hierarchy.GetItemName(item)).strip("_") or "case"
    name, number = base, 1
    while name.lower() in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name.lower())
    return name


def _study(card: ModelCard, name: str, nodes: list) -> Study:
    found = Inputs.assign(card.roles, nodes, {})
    missing = [role.title for role in card.roles if role.name not in found]
    problem = _("No image for {roles} in this study.").format(roles=", ".join(missing)) if missing else ""
    return Study(name, {role: node.GetID() for role, node in found.items()}, problem)
