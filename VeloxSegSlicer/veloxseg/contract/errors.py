"""Expected failures: one class, one table.

Every failure that a person can do something about is a `VeloxSegError` with a code of the table below; the
table gives the process exit code and one sentence with the cause and the next step. Everything else is a
defect of the program and ends as `UNEXPECTED`. What is odd and no failure is a `Note` of the table `NOTES`.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass

EXIT_OK = 0
EXIT_REQUEST = 2
EXIT_MODEL = 3
EXIT_INPUT = 4
EXIT_MEMORY = 5
EXIT_CANCELLED = 6
EXIT_UNEXPECTED = 7
EXIT_PARTLY = 8

ODD: dict[str, tuple[str, str]] = {
    "PET_UNIT": (
        "The unit of this {role} is not stored. Largest value {largest}: too high for SUV.",
        "Convert it to SUV by body weight.",
    ),
    "PET_SCALE": (
        "The mean of the body is {mean} in this {role}, but about 1 in SUV by body weight.",
        "Convert it, for example from kBq/ml.",
    ),
    "PET_LOW": (
        "The mean of the body is only {mean} in this {role}, but about 1 in SUV by body weight.",
        "Check dose, weight and unit.",
    ),
    "CT_UNIT": (
        "The values of this {role} reach from {lowest} to {largest}: no Hounsfield units (air -1000, fat -100).",
        "Export it again in HU.",
    ),
    "CT_OFFSET": (
        "The values of this {role}, from {lowest} to {largest}, are about 1024 higher than Hounsfield units.",
        "Subtract 1024.",
    ),
    "VALUES_OF_CT": (
        "The values of this {role} reach from {lowest} to {largest}, as those of a CT.",
        "Choose another image for {role}.",
    ),
    "ROLES_SWAPPED": ("{role} has the values of a CT and {other} has not: they are swapped.", "Exchange the two."),
    "GRID_SPACING": (
        "Voxels of {role} have an edge of {spacing} mm, as no scanner makes them.",
        "Correct the spacing or its unit.",
    ),
    "GRID_EXTENT": (
        "The longest side of {role} is {extent} mm, which is no part of a patient.",
        "Correct the spacing or its unit.",
    ),
    "GRID_SLICES": (
        "{role} has only {slices} slice(s) along one axis, too few for a model of volumes.",
        "Choose the whole series.",
    ),
    "MODEL_DOMAIN": (
        "Voxel spacing {spacing} mm is much coarser than the grid of {trained} mm that this model was trained on.",
        "Choose a series with thinner slices.",
    ),
    "MODEL_FIELD": (
        "{role} shows {extent} mm, but this model looks at {window} mm at once and knows images of that field.",
        "Choose an image that shows more, or a model for such a part.",
    ),
    "COVERAGE": (
        "{role} covers {percent} % of {reference}; nothing reliable is found outside of it.",
        "Choose images of the same region.",
    ),
    "SAME_VOXELS": ("{role} and {other} have the same voxels.", "Choose another image for {role}."),
}
"""What may be odd about images (`plausibility`): what is found and what helps. The panel asks with the first sentence and
buttons; the engine notes or refuses with both."""

TABLE: dict[str, tuple[int, str]] = {
    **{code: (EXIT_INPUT, " ".join(sentences)) for code, sentences in ODD.items()},
    "REQUEST": (EXIT_REQUEST, "The request cannot be used because {reason}; correct it and start again."),
    "MODEL_MISSING": (
        EXIT_MODEL,
        "No model was found at {path}{near}; choose or install a model package and start again.",
    ),
    "MODEL_CORRUPT": (EXIT_MODEL, "The model {model} is damaged ({reason}); delete it and install it again."),
    "CONVERT": (EXIT_MODEL, "{path} can't become a model package because {reason}; {remedy}."),
    "MODEL_FILE": (EXIT_MODEL, "The file {model} is no model package ({reason}); copy or export it again."),
    "MODEL_UNSAFE": (EXIT_MODEL, "The package {model} was refused because {reason}; ask its author for a package without it."),
    "MODEL_LICENSE": (
        EXIT_MODEL,
        "The license of the model {model}, {license}, may restrict its use{where}; "
        "read it and start again with --accept-license if you accept it.",
    ),
    "MODEL_ANSWER": (
        EXIT_MODEL,
        "The model {model} does not compute what its author recorded ({reason}); ask its author to export it again.",
    ),
    "MODEL_SHIPPED": (EXIT_REQUEST, "The model {model} is part of VeloxSegSlicer and cannot be removed; choose an imported one."),
    "MODEL_EXISTS": (
        EXIT_REQUEST,
        "Another model is already here as {model}, with other weights; start again with --replace to put the new one in its "
        "place, or give the new one another name or version.",
    ),
    "MODEL_SCHEMA": (
        EXIT_MODEL,
        "The model {model} does not follow the package format ({reason}); ask its author for a corrected package.",
    ),
    "MODEL_NEWER": (
        EXIT_MODEL,
        "The model {model} needs {needed}, but this is VeloxSeg {engine}; update VeloxSeg.",
    ),
    "MODEL_ROLES": (
        EXIT_MODEL,
        "The model {model} needs the image(s) {needed}, but {given} was given; choose one image for each.",
    ),
    "INPUT_FOLDER": (
        EXIT_INPUT,
        "The {role} image is a folder ({path}), but one file is needed; export the series as NRRD or NIfTI first.",
    ),
    "INPUT_MISSING": (EXIT_INPUT, "The {role} image file does not exist ({path}); choose another file."),
    "INPUT_UNREADABLE": (
        EXIT_INPUT,
        "The {role} image cannot be read as NRRD, NIfTI or MetaImage because {reason}; {remedy}.",
    ),
    "INPUT_KIND": (
        EXIT_INPUT,
        "The {role} image is {found}, but one 3D volume of single numbers is needed; extract a single volume or channel first.",
    ),
    "INPUT_NAN": (
        EXIT_INPUT,
        "{percent:.0f} % of the {role} image's voxels are not a number or infinite; export it again or choose another image.",
    ),
    "INPUT_CONSTANT": (
        EXIT_INPUT,
        "The {role} image has the same value ({value:g}) everywhere; choose the image that shows the anatomy.",
    ),
    "INPUT_GEOMETRY": (
        EXIT_INPUT,
        "The position of the {role} image in space cannot be used ({reason}); {remedy}.",
    ),
    "INPUT_ROLE": (
        EXIT_INPUT,
        "The image given as {role} is not usable in this place ({reason}); choose another image for {role}.",
    ),
    "INPUT_OVERLAP": (
        EXIT_INPUT,
        "The {role} image covers only {percent:.0f} % of the same space as the {reference} image; "
        "choose images of one patient and visit or register them first.",
    ),
    "PHOTO_UNREADABLE": (
        EXIT_INPUT,
        "The photo {photo} cannot be read as PNG, JPEG or TIFF; save it again in one of these formats or choose another file.",
    ),
    "PHOTO_KIND": (EXIT_INPUT, "The photo {photo} is {found}, but one photo with red, green and blue is needed; {remedy}."),
    "PHOTO_SIZE": (
        EXIT_INPUT,
        "The photo {photo} is {found}, but each side must have {shortest} to {longest} pixels; {remedy}.",
    ),
    "PHOTO_EMPTY": (
        EXIT_INPUT,
        "The photo {photo} has the same color everywhere; choose the photo that shows the skin.",
    ),
    "OUTPUT_UNWRITABLE": (
        EXIT_INPUT,
        "The results cannot be written to {path} ({reason}); choose another folder.",
    ),
    "DISK_FULL": (EXIT_INPUT, "The disk with {path} is full; free some space or choose another folder."),
    "BATCH_SOURCE": (EXIT_INPUT, "The cases cannot be read from {path} because {reason}; {remedy}."),
    "BATCH_CASE": (EXIT_INPUT, "{problem}"),
    "DATASET": (EXIT_INPUT, "{path} can't be used because {reason}; {remedy}."),
    "CHECKPOINT": (EXIT_MODEL, "The checkpoint {path} can't be continued because {reason}; {remedy}."),
    "RUN": (EXIT_INPUT, "The run's file {path} can't be used because {reason}; {remedy}."),
    "BUSY": (EXIT_INPUT, "Another process works in {path}; wait for its end or choose another folder."),
    "DIVERGED": (
        EXIT_UNEXPECTED,
        "The loss is {value} at step {step}; {path} is the last good state: lower --learning-rate and start again.",
    ),
    "DATASET_FOLDER": (EXIT_INPUT, "The folder {path} does not exist; choose the folder of the data set with --source."),
    "DATASET_EMPTY": (
        EXIT_INPUT,
        "No case was found in {source}, which should hold {expected}; choose the folder of the data set with --source.",
    ),
    "DATASET_FILE": (EXIT_INPUT, "{path} cannot be used because {reason}; correct it and start again."),
    "DATASET_ID": (
        EXIT_INPUT,
        "The case {case!r} cannot be the name of a folder; use letters, digits, dots, dashes and underscores only.",
    ),
    "DATASET_MISSING": (
        EXIT_INPUT,
        "The case {case} has no {part} ({name}); add the file or take the case out of {source}.",
    ),
    "DATASET_DOUBLE": (EXIT_INPUT, "The case {case} has more than one {part} ({paths}); keep one of them."),
    "DATASET_SPLIT": (
        EXIT_INPUT,
        "The parts for training, validation and test share {found}; choose ranges that do not overlap.",
    ),
    "DATASET_REFERENCE": (EXIT_INPUT, "There is no image {wanted}; choose --reference from {roles}."),
    "DATASET_CHANGED": (
        EXIT_INPUT,
        "{path} was prepared with another {setting}; choose another --output or delete that folder.",
    ),
    "DATASET_STRAY": (
        EXIT_INPUT,
        "{path} holds the case {case}, which the source does not have; delete its folder or choose another --output.",
    ),
    "IMAGE_CHANNELS": (
        EXIT_INPUT,
        "The image {path} has {found} channel(s) instead of {needed}; export it again with all of them.",
    ),
    "LABEL_VALUES": (
        EXIT_INPUT,
        "The label {path} has the value(s) {found}, but the task knows {known} only; correct the label.",
    ),
    "LABEL_PLACE": (
        EXIT_INPUT,
        "The label {path} has the size of the {role} image but lies up to {distance:.1f} mm elsewhere; "
        "export it again with the geometry of that image.",
    ),
    "SUV": (
        EXIT_INPUT,
        "The PET series {source} cannot be converted to SUV because {reason}; convert it with the scanner's software first.",
    ),
    "BENCHMARKS": (
        EXIT_REQUEST,
        "The benchmarks are not part of an installation; start them in a checkout of VeloxSegSlicer, after 'pip install -e .'.",
    ),
    "SUV_PYDICOM": (EXIT_REQUEST, "Reading DICOM needs pydicom; install it with: pip install pydicom"),
    "PHANTOM_MAPS": (
        EXIT_INPUT,
        "This phantom is drawn on the brain maps of nilearn, which is not installed; install it with 'pip install nilearn'.",
    ),
    "MEMORY_CPU": (
        EXIT_MEMORY,
        "The computer's memory is not enough for this image; close other programs or compute a region of it.",
    ),
    "MEMORY_GPU": (
        EXIT_MEMORY,
        "The memory of {device} is not enough for this model; close other programs that use it or choose the CPU.",
    ),
    "DEVICE_LOST": (
        EXIT_UNEXPECTED,
        "{device} stopped responding, often after sleep or a driver update; run on the CPU or restart the computer.",
    ),
    "ENGINE_OLD": (
        EXIT_REQUEST,
        "Too old for this VeloxSeg: {found}; update with: pip install --upgrade {command}",
    ),
    "DRIVER_OLD": (
        EXIT_REQUEST,
        "The graphics driver knows CUDA {found}, but this engine needs {needed}; update the driver or use the CPU.",
    ),
    "PATH": (EXIT_INPUT, "The path {path} cannot be used because {reason}; rename it or choose another one."),
    "PRINTING": (EXIT_INPUT, "The answer cannot be printed ({reason}); send it to another file and start again."),
    "CANCELLED": (EXIT_CANCELLED, "The computation was cancelled; nothing was written."),
    "NUMERIC": (
        EXIT_UNEXPECTED,
        "The network gave values that are not numbers; check that the images are what the model expects, or run on the CPU.",
    ),
    "UNEXPECTED": (
        EXIT_UNEXPECTED,
        "Something unexpected happened ({kind}); please report it together with the log.",
    ),
}

NOTES: dict[str, str] = {
    **{code: " ".join(sentences) for code, sentences in ODD.items()},
    "NOTHING_FOUND": (
        "Nothing was found above the threshold {threshold:.2f}. The highest score was {score:.2f} at {position}."
        " Possible reasons: nothing is there, images are swapped, or values are not in the expected unit."
    ),
    "MODEL_POOR": (
        "THIS MODEL IS POOR: {score} {value:.2f}{beside}, n = {n}."
        " It can show how the software works; what it finds is not reliable."
    ),
    "MODEL_UNSCORED": "THIS MODEL WAS NEVER SCORED: nobody knows how good it is.",
    "LABEL_ABSENT": "{labels}: in no {part} case, so that {consequence}.",
    "RETRY_ONE_WINDOW": "The memory of {device} is short; going on with one window at a time.",
    "RETRY_HALF": "The memory of {device} is short; going on in half precision.",
    "RETRY_CPU": "The memory of {device} is too small for this image; going on with the CPU.",
    "INPUT_NAN": (
        "{count} voxel(s) of the {role} image ({percent:.2g} %) are not a number or infinite; they count as empty ({value:g})."
    ),
    "PHOTO_BITS": "The largest value in the photo's 16-bit colors is {largest}; they were taken to hold {bits} bits.",
    "INPUT_ORIENTATION": (
        "The {role} file does not say how it lies in the body; taken as 3D Slicer does: columns run to the left, rows to the "
        "back, slices to the head. If it is shown turned or mirrored there, this result is wrong: set its orientation and start "
        "again."
    ),
    "INPUT_ORIGIN": (
        "The {role} file does not say where in space it lies; its first voxel was put at 0, 0, 0, as 3D Slicer does."
    ),
    "INPUT_POSITIONS": (
        "The {role} file has two positions in space, qform and sform, which differ by up to {distance:.1f} mm; "
        "the {taken} was taken, as 3D Slicer does."
    ),
    "INPUT_UNIT": "The {role} file gives its lengths in {unit}; its voxel size and position were converted to millimeters.",
    "INPUT_SCALE": "The scale factor in the {role} file is not a number; the stored values were taken as they are.",
    "INPUT_SHEAR": (
        "The axes of the {role} image are {degrees:.2g} degrees away from right angles; "
        "the nearest right angles were taken, which moves its voxels by up to {distance:.2g} mm."
    ),
}


@dataclass(frozen=True)
class Note:
    """What a person should know about a result though nothing failed: a code of `NOTES` and its sentence."""

    code: str
    text: str


Hear = Callable[[Note], None]


def one_line(text: object) -> str:
    """A text of somebody else, or with one in it, for a sentence: only what can be printed, on one line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))


def note(code: str, **facts: object) -> Note:
    """The note of a code with the facts of this case."""
    return Note(code, one_line(NOTES[code].format(**facts)))


def unheard(_note: Note) -> None:
    """For callers to whom notes do not matter."""


class VeloxSegError(Exception):
    """A failure with a code of `TABLE`, the facts of this case, and optionally a `detail` for the log.

    `text` is one sentence for a person, `exit_code` the process exit code. `detail` never holds a traceback.
    """

    def __init__(self, code: str, detail: str = "", **facts: object) -> None:
        self.code = code
        self.exit_code, sentence = TABLE[code]
        self.facts = facts
        self.detail = detail
        self.text = one_line(sentence.format(**facts))
        super().__init__(self.text)


def expected(error: Exception) -> VeloxSegError:
    """The failure that a person hears of: the error itself when it is one of the table, exhausted memory in all its forms, else
    UNEXPECTED."""
    if isinstance(error, VeloxSegError):
        return error
    if _is_short_memory(error):
        return VeloxSegError("MEMORY_CPU", detail=str(error))
    return VeloxSegError("UNEXPECTED", kind=type(error).__name__, detail=str(error))


MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)
# The system's words when a library or a thread finds no room.
SHORT_MEMORY_PHRASES = ("cannot allocate memory", "failed to map segment", "can't start new thread")


def _is_short_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(phrase in str(error).lower() for phrase in SHORT_MEMORY_PHRASES) or is_memory_error(error)


def is_memory_error(error: BaseException) -> bool:
    """Whether an exception means that memory ran out: torch, SimpleITK and numpy each say it in their own
    way."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in message for phrase in MEMORY_PHRASES)
