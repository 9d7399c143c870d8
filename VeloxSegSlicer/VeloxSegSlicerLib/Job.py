"""One job is one folder: the images as files, the request, later the result. It disappears with the job."""

import json
import shutil
import tempfile
from pathlib import Path

import slicer

from . import Geometry, Sensitivity
from .Errors import VeloxSegError
from .Models import ModelCard

REQUEST_SCHEMA_VERSION = 1
FOLDER_PREFIX = "VeloxSeg-"


class Job:
    """The folder of one run below the application's temporary path."""

    def __init__(self, keepFiles: bool = False) -> None:
        """:param keepFiles: leave the folder on disk for troubleshooting."""
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=str(slicer.app.temporaryPath)))
        self.keepFiles = keepFiles

    @property
    def requestFile(self) -> Path:
        """The only argument of the runner."""
        return self.folder / "request.json"

    @property
    def resultFolder(self) -> Path:
        """Where the runner leaves its result."""
        return self.folder / "result"

    def write(self, card: ModelCard, images: dict, device: str, overlap: float | None, seed: int) -> None:
        """Write the images and the request. Transforms are applied to copies; the nodes stay as they are.

        :param images: role name -> volume node.
        :raises VeloxSegError: EXPORT_FAILED.
        """
        inputs = {}
        for role in card.roles:
            fileName = f"input{len(inputs) + 1}.nrrd"
            self._writeImage(Geometry.copyInWorld(images[role.name]), self.folder / fileName, role.title)
            inputs[role.name] = fileName
        request = {
            "schema_version": REQUEST_SCHEMA_VERSION,
            "model": str(card.folder),
            "inputs": inputs,
            "output": self.resultFolder.name,
            "device": device,
            "overlap": overlap,
            "seed": seed,
            "outputs": ["mask", "measures", *(() if Sensitivity.whyNot(card) else ("probability",))],
        }
        self.requestFile.write_text(json.dumps(request, indent=2), encoding="utf-8")

    def requestCancel(self) -> None:
        """Ask the runner to stop at its next window."""
        if self.folder.is_dir():
            (self.folder / "cancel").touch()

    def remove(self) -> None:
        """Delete the folder, except when it is kept for troubleshooting. May be called twice."""
        if not self.keepFiles:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _writeImage(self, volumeNode, path: Path, roleTitle: str) -> None:
        # A storage node of its own: slicer.util.saveNode would leave one on the person's image.
        storage = slicer.vtkMRMLNRRDStorageNode()
        storage.SetUseCompression(False)
        storage.SetFileName(str(path))
        if not storage.WriteData(volumeNode) or not path.is_file():
            raise VeloxSegError("EXPORT_FAILED", role=roleTitle)
