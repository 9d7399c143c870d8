"""VeloxSeg under nnU-Net 2.8: prepared data sets as its raw folders, a planner, a trainer, and one command for all of it.

nnunetv2 is needed by `planner`, `trainer` and the command, which import it; `raw` and `network` do without.
"""
