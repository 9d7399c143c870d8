"""Images in space and their values: reading, writing, grids, intensities."""
