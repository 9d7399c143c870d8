"""VeloxSeg engine: networks, geometry, model packages and the runner. Knows torch and SimpleITK, never
Slicer."""

__version__ = "0.1.0"
