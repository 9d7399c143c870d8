"""What runner and panel say to each other (docs/formats.md): words of the command line, stages, names of events."""

SERVE = "--serve"
"""Keeps the runner for further requests, one path per line of its standard input."""

STAGES = {
    "reading": "Reading the images",
    "model": "Loading the model",
    "preparing": "Preparing the images",
    "computing": "Computing",
    "measuring": "Measuring",
    "writing": "Writing the results",
}
"""Name -> text for people, in the order in which a case goes through them."""

EVENTS = frozenset(("hello", "stage", "progress", "note", "result", "error", "end", "check", "preview", "case"))
"""Names of the events, one JSON object per line of the runner's standard output."""
