"""How long things take; not shipped with the module."""
