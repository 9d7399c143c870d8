"""What pyproject.toml cannot say: the models, which Slicer finds in Resources, lie beside the engine's code in a wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path(__file__).parent / "VeloxSegSlicer" / "Resources" / "Models"


class BuildWithModels(build_py):
    """Copies the models to where `veloxseg.packages.cards` looks for them first."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib) / "veloxseg" / "Models", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithModels})
