"""How much of a border the working grid keeps: spheres of 18 to 38 mm on random grids, straight and oblique.

    PYTHONPATH=VeloxSegSlicer python Testing/engine/sphere_borders.py    the table of docs/performance.md

A predictor without fault knows of every working voxel which part of it lies in the sphere. This goes back to the image's grid as
the pipeline does it, and is compared with the sphere itself.
"""

import numpy as np
import SimpleITK as sitk

from veloxseg.imaging import findings, images

SPACINGS = (1.0, 1.5, 2.0, 3.0)
CASES = 40
PARTS = 4
"""Sub-voxels along each axis, at which a part of a voxel is counted."""


def case(seed):
    """An image grid, and center and radius (mm) of the sphere in it."""
    rng = np.random.default_rng(seed)
    radius, spacing = rng.uniform(9, 19), rng.uniform(0.7, 2.5, 3)
    size = np.ceil((2 * radius + 16) / spacing).astype(int)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0] if seed % 2 else np.eye(3)
    grid = images.Grid(tuple(size.tolist()), tuple(spacing), (0.0, 0.0, 0.0), tuple(direction.ravel()))
    return grid, grid.world((size - 1) / 2) + rng.uniform(-2, 2, 3), radius


def distances(grid, center):
    """(x, y, z) mm of every voxel from the center."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), -1)
    return np.linalg.norm(grid.world(index) - center, axis=-1)


def parts_inside(grid, center, radius):
    """(x, y, z) float32: the part of every voxel that lies in the sphere."""
    whole = distances(grid, center)
    parts = (whole < radius).astype(np.float32)
    border = np.abs(whole - radius) < np.linalg.norm(grid.spacing) / 2
    places = grid.world(np.argwhere(border)) - center
    steps = (np.arange(PARTS) + 0.5) / PARTS - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) @ grid.index_to_world.T
    parts[border] = np.mean([np.linalg.norm(places + offset, axis=1) < radius for offset in offsets], axis=0)
    return parts


def dices(spacing, cases=range(CASES)):
    """Dice of the probabilities' and of the labels' way back, (cases, 2)."""
    rows = []
    for seed in cases:
        grid, center, radius = case(seed)
        truth = (distances(grid, center) < radius).astype(np.uint8)
        working = images.working_grid(grid, (spacing,) * 3)
        probability = parts_inside(working, center, radius)
        labels = images.image_of((probability >= 0.5).astype(np.uint8), working)
        back = (
            images.map_on_grid(probability, working, grid) >= 0.5,
            images.array_of(images.resample(labels, grid, "nearest")) > 0,
        )
        rows.append([findings.dice(mask.astype(np.uint8), truth, 1) for mask in back])
    return np.array(rows)


def main():
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print("working spacing | probabilities: mean, least, above 0.99 | labels: mean, least, above 0.99")
    for spacing in SPACINGS:
        columns = [f"{d.mean():.3f} {d.min():.3f} {int((d > 0.99).sum())} of {CASES}" for d in dices(spacing).T]
        print(f"{spacing:g} mm | {' | '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
