"""One case through the pipeline that its model needs: of volumes or of photos."""

from collections.abc import Mapping
from pathlib import Path

from veloxseg.contract import names
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import Settings
from veloxseg.imaging.reading import Source
from veloxseg.inference import devices, photo_pipeline, pipeline
from veloxseg.inference.case import Package
from veloxseg.inference.progress import Run

Prediction = pipeline.VolumePrediction | photo_pipeline.PhotoPrediction


def segment(
    package: Package,
    sources: Mapping[str, Source],
    settings: Settings,
    device: devices.Device,
    run: Run | None = None,
    measure: bool = True,
) -> Prediction:
    """One case through `pipeline.segment` or `photo_pipeline.segment`, whichever the card needs, with the same arguments.

    Raises REQUEST for a setting that the model does not have, PATH, INPUT_FOLDER, and what those two raise.
    """
    for role, source in sources.items():
        if isinstance(source, str | Path):
            names.check(source)
            if Path(source).is_dir():
                raise VeloxSegError("INPUT_FOLDER", role=role, path=names.shown(source))
    photo_pipeline.check_settings(package.card, settings)
    way = photo_pipeline if package.card.takes_photo else pipeline
    return way.segment(package, sources, settings, device, run, measure)
