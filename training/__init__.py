"""Training and scoring of the models outside of Slicer; `train.py` begins it, README.md tells how."""
