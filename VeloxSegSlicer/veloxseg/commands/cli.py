"""The command `veloxseg`: the same pipeline as the panel, for the command line.

Exit codes are those of docs/formats.md; every failure is one sentence on stderr.
"""

import importlib
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import tyro
from tqdm import tqdm

from veloxseg import __version__, phantoms, processes
from veloxseg.commands.cli_batch import BatchCommand
from veloxseg.commands.cli_models import Models
from veloxseg.contract import names, redaction, requirements, strict_json
from veloxseg.contract.card import Card, mark
from veloxseg.contract.errors import EXIT_CANCELLED, EXIT_OK, VeloxSegError, expected
from veloxseg.contract.settings import FIELDS, Settings
from veloxseg.packages import cards
from veloxseg.service import runner, streams

FILE_ENDINGS = (".nii", ".gz", ".nrrd", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".json", ".csv", ".zip")
NAME_COLUMN = 32
BENCH = "bench"
BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
DESCRIPTION = (
    "VeloxSeg segmentation; --version tells which one. "
    "Completion in a shell: veloxseg --tyro-print-completion bash > FILE (or zsh, tcsh), then source FILE."
    " How long things take: veloxseg bench --help."
)
KINDS = ", ".join(phantoms.PHANTOMS)


@dataclass(frozen=True)
class Segment:
    """Segment one case and write mask.nrrd and results.json into a new folder."""

    model: str
    """Id of a shipped model (see `veloxseg models`) or folder of a model package."""
    output: Path
    """Folder for the results; it must not exist or be empty."""
    input: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """ROLE=PATH, once for every role of the model (see `veloxseg models`), e.g. --input CT=ct.nii.gz --input PET=pet.nii.gz."""
    device: str = Settings.device
    """auto, cpu, cuda, cuda:N or mps."""
    overlap: float | None = Settings.overlap
    """Overlap of the windows, 0 to 0.9; by default the model's own."""
    mirrors: tyro.conf.FlagCreatePairsOff[bool] = Settings.mirrors
    """Also compute the left-right mirror image of a volume and take the mean: twice the time, and an uncertainty map."""
    seed: int = Settings.seed
    """Seed of random numbers."""
    members: int | None = Settings.members
    """Runs of the ensemble, for models that have one; by default the model's own."""
    mm_per_px: float | None = Settings.mm_per_px
    """Side of one pixel in mm, for photos; without it sizes are in pixels alone."""
    region: str | None = None
    """Box outside of which nothing is looked for, as JSON like in a request, in LPS mm:
    '{"center": [0, 0, 0], "size": [90, 90, 90], "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}'."""
    accept_overlap: tyro.conf.FlagCreatePairsOff[bool] = Settings.accept_overlap
    """The images share little space, and that is right."""
    accept: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Code of what is odd about the images and shall be noted instead of refused, e.g. --accept PET_UNIT (docs/formats.md)."""
    suv: bool = Settings.suv
    """Whether the PET image holds SUV; one that does not is scaled so that the mean of the body is 1, and not measured."""
    outputs: tuple[str, ...] = Settings.outputs
    """Some of mask, probability, uncertainty and measures."""
    probability: tyro.conf.FlagCreatePairsOff[bool] = False
    """Adds probability to the outputs."""
    accept_license: tyro.conf.FlagCreatePairsOff[bool] = False
    """Needed for a model whose license may restrict its use: it was read and is accepted."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print results.json to stdout instead of the table."""

    def run(self) -> None:
        """Do it. Raises VeloxSegError."""
        inputs = parse_inputs(self.input)
        settings = {name: getattr(self, name) for name in FIELDS} | {"region": parse_region(self.region)}
        if self.probability and "probability" not in self.outputs:
            settings["outputs"] = [*self.outputs, "probability"]
        if self.output.suffix.lower() in FILE_ENDINGS:
            raise VeloxSegError("REQUEST", reason=f"--output {names.shown(self.output)} names a file, and a folder is needed")
        folder = cards.find(self.model)
        card = cards.read(folder)
        check_roles(card, inputs)
        check_settings(settings)
        cards.check_license(card, folder, self.accept_license)
        content = segment(folder, inputs, self.output, settings)
        print(json.dumps(content, indent=2) if self.json else table(content))
        print(f"Written to {self.output}", file=sys.stderr)


@dataclass(frozen=True)
class PhantomCommand:
    """Write synthetic cases."""

    kind: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=f"Kind of phantom: {KINDS}.")]
    output: Path
    """Folder; with a count above one, one folder per case inside it."""
    seed: int = 0
    """Seed of the first case; the others count up."""
    count: int = 1
    """Number of cases."""

    def run(self) -> None:
        """Do it. Raises VeloxSegError."""
        from veloxseg import files

        if self.kind not in phantoms.PHANTOMS:
            raise VeloxSegError("REQUEST", reason=f"{self.kind!r} is no phantom ({', '.join(phantoms.PHANTOMS)})")
        for seed in range(self.seed, self.seed + self.count):
            folder = self.output if self.count == 1 else self.output / f"{self.kind}-{seed}"
            with files.typed_output_errors(folder):
                phantoms.write_case(self.kind, seed, folder)
            print(folder)


Command = (
    Annotated[Segment, tyro.conf.subcommand("segment")]
    | Annotated[BatchCommand, tyro.conf.subcommand("batch")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[PhantomCommand, tyro.conf.subcommand("phantom")]
)


class ProgressBar:
    """The pipeline's listener (`progress.Listener`) that draws on stderr."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def stage(self, name: str, text: str) -> None:
        self.close()
        print(f"{text} ...", file=sys.stderr)

    def progress(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(total=total, unit="step", file=sys.stderr)
        self._bar.update(done - self._bar.n)

    def note(self, code: str, text: str) -> None:
        self.close()
        print(f"Note: {text}", file=sys.stderr)

    def cancelled(self) -> bool:
        return False

    def writes(self, partial: Path) -> None:
        """An interruption unwinds this process, which removes the folder."""

    def close(self) -> None:
        """Finish the bar that is being drawn, if any."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def check_roles(card: Card, inputs: dict[str, str]) -> None:
    """Raises MODEL_ROLES, with the roles to give, when those that were given are others."""
    needed = [role.name for role in card.roles]
    if set(inputs) != set(needed):
        given = ", ".join(map(names.shown, inputs)) or "none"
        raise VeloxSegError("MODEL_ROLES", model=card.title, needed=", ".join(needed), given=given)


def parse_inputs(entries: Sequence[str]) -> dict[str, str]:
    """("T1=a.nii", ..) -> {"T1": "a.nii", ..}. Raises REQUEST."""
    inputs: dict[str, str] = {}
    for entry in entries:
        role, separator, path = entry.partition("=")
        if not separator or not role or not path:
            raise VeloxSegError("REQUEST", reason=f"{entry!r} is not ROLE=PATH")
        if role in inputs:
            raise VeloxSegError("REQUEST", reason=f"the role {role} is given twice")
        inputs[role] = path
    return inputs


def parse_region(text: str | None) -> object:
    """The region that a JSON text says. Raises REQUEST."""
    try:
        return None if text is None else strict_json.parse(text.encode("utf-8", errors="replace"))
    except ValueError as error:
        raise VeloxSegError("REQUEST", reason=f"--region is not usable: {error}") from error


def check_settings(settings: dict) -> None:
    """The runner's own check. Raises REQUEST."""
    from veloxseg.validation import first_problem

    problem = first_problem("request", {"schema_version": 1, "model": "any", "inputs": {"any": "any"}, **settings})
    if problem:
        raise VeloxSegError("REQUEST", reason=problem)


def segment(package: Path, inputs: dict[str, str], output: Path, settings: dict) -> dict:
    """Do one job with a progress bar; returns the content of results.json. Raises VeloxSegError."""
    from veloxseg import api
    from veloxseg.packages import packages

    bar = ProgressBar()
    try:
        return api.segment(packages.read(package), inputs, output, **settings, listener=bar).provenance
    finally:
        bar.close()


def table(content: dict) -> str:
    """Segments, their sizes and lesions of a results.json as text."""
    model = content["model"]
    lines = [
        f"{mark(model['level'])}{model['title']} {model['version']} on {content['device']}, {content['seconds']['total']:.1f} s",
        "",
        *(_photo_lines(content) if "working_size" in content else _volume_lines(content)),
    ]
    return "\n".join(lines)


def _volume_lines(content: dict) -> list[str]:
    lines = [f"{'Segment':<{NAME_COLUMN}}{'ml':>12}"]
    lines += [f"{_column(entry['name'])}{entry['volume_ml']:>12.2f}" for entry in content["segments"]]
    if "lesions" in content:
        lines += ["", f"{len(content['lesions'])} lesion(s)"]
    return lines


def _column(name: str) -> str:
    """A name in its column; a long one goes on in a line of its own, so that the numbers stay below each other."""
    return f"{name:<{NAME_COLUMN}}" if len(name) < NAME_COLUMN else f"{name}\n{'':<{NAME_COLUMN}}"


def _photo_lines(content: dict) -> list[str]:
    lines = [f"{'Segment':<{NAME_COLUMN}}{'':4}{'area':>14}{'perimeter':>14}{'diameter':>14}"]
    for entry in content["segments"]:
        sizes = (entry["area_px"], entry["perimeter_px"], entry["diameter_px"])
        lines.append(f"{_column(entry['name'])}px  " + "".join(f"{size:>14.0f}" for size in sizes))
        if content["mm_per_px"] is not None:
            sizes = (entry["area_mm2"], entry["perimeter_mm"], entry["diameter_mm"])
            lines.append(f"{'':<{NAME_COLUMN}}mm  " + "".join(f"{size:>14.2f}" for size in sizes))
    if content["agreement"] is not None:
        lines += ["", f"Agreement of {content['sampling']['members']} members: {content['agreement']:.3f}"]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code. None: the arguments of the process, whose streams and signals are prepared, too."""
    processes.wait_passively()
    if arguments is None:
        streams.prepare()
        for number in runner.ending_signals():
            signal.signal(number, _interrupt)
    try:
        exit_code = _run(arguments)
        sys.stdout.flush()
        return exit_code
    except BrokenPipeError:
        # The reader has what it wanted, as `head` has.
        streams.give_up_stdout()
        return EXIT_OK
    except KeyboardInterrupt:
        print("veloxseg: cancelled; nothing was written", file=sys.stderr)
        return EXIT_CANCELLED
    except Exception as error:  # noqa: BLE001 - the last net of the command
        failure = expected(error)
        if failure.code == "PRINTING":
            streams.give_up_stdout()
        log = f" The log is {keep_log()}." if failure.code == "UNEXPECTED" else ""
        print(f"veloxseg: {failure.text}{log}", file=sys.stderr)
        return failure.exit_code


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"veloxseg {__version__}")
        return EXIT_OK
    try:
        command = read(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_OK
    requirements.check_engine()
    return command.run() or EXIT_OK


def read(arguments: list[str]) -> Command:
    """What is asked for. Raises SystemExit for help and for what is no command, BENCHMARKS where there are none."""
    if arguments[:1] == [BENCH]:
        return _benchmarks().read(arguments[1:])
    return tyro.cli(Command, prog="veloxseg", description=DESCRIPTION, args=arguments)


def _benchmarks() -> ModuleType:
    """The command of the benchmarks, which lie beside the engine in a checkout alone. Raises BENCHMARKS elsewhere."""
    if not (BENCHMARKS / "command.py").is_file():
        raise VeloxSegError("BENCHMARKS")
    # last, so that nothing of that folder takes the place of a package
    sys.path.append(str(BENCHMARKS.parent))
    return importlib.import_module(f"{BENCHMARKS.name}.command")


class Interrupted(KeyboardInterrupt):
    """A class of its own: a plain KeyboardInterrupt inside of `exec`, as dataclasses are made by, has Python end the process by
    SIGINT instead of its exit code, also when it was handled."""


def _interrupt(number: int, _frame: object) -> None:
    """A request to end is that of Ctrl+C: what is unfinished is removed."""
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def keep_log() -> str:
    """Writes the traceback of the current exception to a temporary file and returns its path."""
    with tempfile.NamedTemporaryFile("w", prefix="veloxseg-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(redaction.exception_text())
    return log.name


if __name__ == "__main__":
    sys.exit(main())
