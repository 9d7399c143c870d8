"""VeloxSeg under nnU-Net 2.8: prepared data sets as its raw folders."""
