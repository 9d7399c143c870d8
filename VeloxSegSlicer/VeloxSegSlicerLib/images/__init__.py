"""The images of a run: which one has which role, what is wrong with them, what a person decided about them."""
