"""For all tests: models that a person has imported on this computer take no part."""

import os
import tempfile

os.environ["VELOXSEG_MODELS"] = os.path.join(tempfile.gettempdir(), "veloxseg-tests-have-no-imported-models")
