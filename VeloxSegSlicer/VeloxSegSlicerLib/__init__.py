"""Slicer-facing code of the VeloxSeg panel: it knows MRML and Qt, and never torch nor the engine itself.

The engine (`veloxseg`) is only started as a process; what goes in and out is described in docs/formats.md.
"""
