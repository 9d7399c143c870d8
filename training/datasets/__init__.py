"""From data sets as they are published or kept to one prepared form: a module for each layout.

`base` has what they share, `cards` the static model cards, `reading` one image, `conversion` one case on the working grid.
"""
