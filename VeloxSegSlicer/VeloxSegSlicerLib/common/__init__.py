"""What every room of the panel may use: errors, geometry, models, parameters, voxels of segments."""
