"""One case from images to probabilities: windows, averaging, devices, what happens when memory is short."""
