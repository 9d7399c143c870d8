"""One job is one folder: the images as files, the request, later the result. It disappears with the job."""

import json
from pathlib import Path

import slicer

from ..common import Computer, Geometry, Temporary, VolumeFile
from ..common.Errors import VeloxSegError
from ..common.Models import ModelCard
from ..images import InputOptions, Plausibility, RunEstimate
from ..images.InputImage import readAll
from ..results import Sensitivity

REQUEST_SCHEMA_VERSION = 1


def checkDisk(card: ModelCard, images: dict, options: InputOptions.InputOptions) -> None:
    """
    :param images: role name -> volume node.
    :raises VeloxSegError: DISK_FULL.
    """
    if card.takes_photo:
        needed = 3 * sum(slicer.util.arrayFromVolume(node).nbytes for node in images.values())
    else:
        needed = RunEstimate.estimate(card, readAll(images), options).disk
    free = Computer.freeDisk(Temporary.folderOfJobs())
    if free < needed:
        raise VeloxSegError("DISK_FULL", free=free / Computer.GIGABYTE, needed=needed / Computer.GIGABYTE)


class Job:
    """The folder of one run below the application's temporary path."""

    def __init__(self, keepFiles: bool = False) -> None:
        """:param keepFiles: leave the folder on disk for troubleshooting."""
        self.folder = Temporary.newFolder(Temporary.JOB, Temporary.folderOfJobs())
        self.keepFiles = keepFiles

    @property
    def requestFile(self) -> Path:
        """The only argument of the runner."""
        return self.folder / "request.json"

    @property
    def resultFolder(self) -> Path:
        """Where the runner leaves its result."""
        return self.folder / "result"

    def write(
        self,
        card: ModelCard,
        images: dict,
        device: str,
        seed: int,
        way: dict,
        uncertainty: bool,
        options: InputOptions.InputOptions,
    ) -> None:
        """Write the images and the request. Transforms are applied to copies; the nodes stay as they are.

        :param images: role name -> volume node.
        :param way: the fields of the request that say how the model computes.
        :param uncertainty: whether to ask for the map of where runs disagree.
        :param options: what the person has decided about them.
        :raises VeloxSegError: EXPORT_FAILED or DISK_FULL.
        """
        inputs = {}
        for role in card.roles:
            fileName = f"input{len(inputs) + 1}.nrrd"
            VolumeFile.write(Geometry.copyInWorld(images[role.name]), self.folder / fileName, role.title)
            inputs[role.name] = fileName
        outputs = ["mask", "measures"]
        if not Sensitivity.whyNot(card):
            outputs.append("probability")
        if uncertainty:
            outputs.append("uncertainty")
        request = {
            "schema_version": REQUEST_SCHEMA_VERSION,
            "model": str(card.folder),
            "inputs": inputs,
            "output": self.resultFolder.name,
            "device": device,
            "seed": seed,
            **way,
            "outputs": outputs,
        }
        if card.takes_photo:
            request["mm_per_px"] = options.mmPerPixel or None
        else:
            request["region"] = options.region
            request["accept_overlap"] = options.accepts(InputOptions.OVERLAP)
            request["accept"] = Plausibility.acceptedCodes(options)
            request["suv"] = not options.accepts(InputOptions.ACTIVITY)
        self.requestFile.write_text(json.dumps(request, indent=2), encoding="utf-8")

    def requestCancel(self) -> None:
        """Ask the runner to stop at its next window."""
        if self.folder.is_dir():
            (self.folder / "cancel").touch()

    def remove(self) -> None:
        """Delete the folder, except when it is kept for troubleshooting. May be called twice."""
        if self.keepFiles:
            Temporary.leave(self.folder)
        else:
            Temporary.remove(self.folder)
