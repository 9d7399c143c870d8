"""One mask against another: overlap, distances of the surfaces, missed and extra lesions.

`python -m veloxseg.service.comparison <folder>/request.json` compares pairs of masks for the panel (docs/formats.md,
"Comparison") and speaks the runner's events. Masks are arrays of equal shape; what is not zero counts as inside.
"""

import math
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from veloxseg import __version__, files
from veloxseg.contract import redaction, requirements, strict_json
from veloxseg.contract.errors import EXIT_OK, VeloxSegError, expected
from veloxseg.imaging import images
from veloxseg.service import runner, streams

RESULT_BIT, REFERENCE_BIT = 1, 2
ANSWER = "comparison.json"
CORNERS = 3


def compare(result: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]) -> dict:
    """Dice, volumes, differences, distances and lesions of two masks (k, j, i); `spacing` is the voxel edge per array axis in mm.

    The differences are result - reference, absolute in ml and in percent of the reference. Lesions are components of 26
    neighbors; one without a common voxel is missed (of the reference) or extra (of the result). None where a number does
    not exist.
    """
    result, reference = as_masks(result, reference)
    voxel_ml = math.prod(spacing) / 1000
    sizes = int(result.sum()), int(reference.sum())
    volumes = [size * voxel_ml for size in sizes]
    distances = surface_distances(result, reference, spacing)
    pooled = None if distances is None else np.concatenate(distances)
    return {
        "dice": 2 * int((result & reference).sum()) / sum(sizes) if sum(sizes) else None,
        "volume_ml": volumes[0],
        "reference_ml": volumes[1],
        "difference_ml": volumes[0] - volumes[1],
        "difference_percent": 100 * (sizes[0] / sizes[1] - 1) if sizes[1] else None,
        "hd95_mm": None if pooled is None else float(np.percentile(pooled, 95)),
        "mean_surface_mm": None if pooled is None else float(pooled.mean()),
        "missed": untouched_components(reference, result, CORNERS)[0],
        "extra": untouched_components(result, reference, CORNERS)[0],
    }


def as_masks(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as boolean arrays; raises ValueError if their shapes differ."""
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: prediction {prediction.shape}, reference {reference.shape}")
    return prediction != 0, reference != 0


def surface_distances(
    result: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...] | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Distances from each surface voxel of one mask to the nearest one of the other, in both directions.

    A surface voxel is one that a 6-neighbor erosion removes; voxels outside the array count as background.
    `spacing` holds the voxel edge per array axis (1 where not given). None if either mask is empty.
    """
    result, reference = as_masks(result, reference)
    if not result.any() or not reference.any():
        return None
    # Only the common bounding box matters: everything outside of it is background, like outside the array.
    box = ndimage.find_objects((result | reference).astype(np.uint8))[0]
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (result, reference)]
    to_result, to_reference = (ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces)
    return to_reference[surfaces[0]], to_result[surfaces[1]]


def hd95(result: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...] | None = None) -> float:
    """95th percentile of the surface distances of both directions pooled (as medpy); NaN if a mask is empty."""
    # MONAI takes the larger of the two directions' percentiles; the published numbers, and the fixtures, pool them
    distances = surface_distances(result, reference, spacing)
    return math.nan if distances is None else float(np.percentile(np.concatenate(distances), 95))


def untouched_components(mask: np.ndarray, other: np.ndarray, connectivity: int = 2) -> tuple[int, int, int]:
    """(components of `mask` that `other` never touches, all components of `mask`, voxels of the former).

    `connectivity` 2 joins voxels that share an edge (18 neighbors), 3 those that share a corner too (26).
    """
    labels, count = ndimage.label(mask, structure=ndimage.generate_binary_structure(mask.ndim, connectivity))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    untouched = np.setdiff1d(np.arange(1, count + 1), labels[other])
    return len(untouched), count, int(sizes[untouched].sum())


def compare_files(request_path: Path) -> dict:
    """Do the comparison of a request and write `comparison.json` beside it.

    Raises REQUEST for a request that cannot be read and INPUT_UNREADABLE for a missing or broken mask.
    """
    try:
        pairs = strict_json.read(request_path)["pairs"]
        names = [str(pair) for pair in pairs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VeloxSegError("REQUEST", reason=f"{request_path.name} cannot be read", detail=str(error)) from error
    content = {"schema_version": 1, "pairs": [_compare_pair(request_path.parent / name) for name in names]}
    files.write_json(request_path.parent / ANSWER, content)
    return content


def _compare_pair(path: Path) -> dict:
    image = images.read_volume(path, path.stem)
    bits = sitk.GetArrayViewFromImage(image).astype(np.uint8)
    return compare(bits & RESULT_BIT, bits & REFERENCE_BIT, image.GetSpacing()[::-1])


def main(arguments: list[str] | None = None) -> int:
    """Entry point; tells `hello`, then `result` or `error`, and returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    streams.prepare()
    events = runner.Events(runner.private_stdout())
    events.send("hello", engine=__version__, protocol=runner.PROTOCOL)
    try:
        requirements.check_engine()
        if len(arguments) != 1:
            raise VeloxSegError("REQUEST", reason="the path of one request.json is needed")
        compare_files(Path(arguments[0]))
    except Exception as error:  # noqa: BLE001 - the panel must hear of every failure
        print(redaction.exception_text(), file=sys.stderr)
        runner.send_error(events, expected(error))
        return expected(error).exit_code
    events.send("result", files={"comparison": {"path": ANSWER}})
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
