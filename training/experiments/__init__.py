"""The questions that the paper on NCA diffusion leaves open, as commands that print tables: see `training/questions.py`."""
