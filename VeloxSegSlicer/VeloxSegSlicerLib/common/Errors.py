"""Expected failures: one class, and one closed table of the panel's own codes.

Errors of the engine arrive as (code, text) and keep the engine's sentence; only their buttons are decided
here.
"""

from slicer.i18n import tr as _

from veloxseg.contract import errors as engine

# What a button beside a message does. The panel maps each to one of its own methods.
INSTALL = "install"
REPAIR = "repair"
TRY_INSTALL = "tryInstall"
USE_CPU = "useCpu"
RETRY = "retry"
SHOW_LOG = "showLog"
COPY_REPORT = "copyReport"
SHOW_CARD = "showCard"
SHOW_GEOMETRY = "showGeometry"
CHOOSE = "choose"
CHOOSE_ANOTHER = "chooseAnother"
LOAD_SAMPLE = "loadSample"
ACCEPT = "accept"
REGISTER = "register"
OPEN_TRANSFORMS = "openTransforms"
SHOW_PHOTO_TASKS = "showPhotoTasks"
EXPLAIN_SUV = "explainSuv"
CONVERT_TO_SUV = "convertToSuv"
WITHOUT_SUV = "withoutSuv"
TREAT_AS_SUV = "treatAsSuv"
USE_REGION = "useRegion"
WHOLE_IMAGE = "wholeImage"
USE_FAST = "useFast"
CONTINUE = "continue"
CHOOSE_FOLDER = "chooseFolder"
CHOOSE_CPU = "chooseCpu"
UPDATE = "update"
UPDATE_DRIVER = "updateDriver"
OFFLINE = "offline"
SHOW_LICENSE = "showLicense"


def actionLabel(action: str, facts: dict | None = None) -> str:
    """The text on the button of an action.

    :param facts: what the message knows, for labels that name an image.
    """
    label = {
        INSTALL: _("Install"),
        REPAIR: _("Repair"),
        UPDATE: _("Update"),
        TRY_INSTALL: _("Try again"),
        USE_CPU: _("Run on CPU"),
        RETRY: _("Try again"),
        SHOW_LOG: _("Show log"),
        COPY_REPORT: _("Copy report"),
        SHOW_CARD: _("Model card"),
        SHOW_GEOMETRY: _("Details"),
        CHOOSE: _("Choose"),
        CHOOSE_ANOTHER: _("Choose another"),
        LOAD_SAMPLE: _("Load sample"),
        ACCEPT: _("Use anyway"),
        REGISTER: _("Register {role} to {reference}"),
        OPEN_TRANSFORMS: _("Open Transforms"),
        SHOW_PHOTO_TASKS: _("Show photo tasks"),
        EXPLAIN_SUV: _("How to convert"),
        CONVERT_TO_SUV: _("Enter dose, time, weight"),
        WITHOUT_SUV: _("Segment without SUV measures"),
        TREAT_AS_SUV: _("Treat as SUVbw"),
        USE_REGION: _("Use Region"),
        WHOLE_IMAGE: _("Whole image"),
        USE_FAST: _("Use Fast"),
        CONTINUE: _("Continue"),
        CHOOSE_FOLDER: _("Choose folder"),
        CHOOSE_CPU: _("Use CPU"),
        UPDATE_DRIVER: _("How to update"),
        OFFLINE: _("Offline instructions"),
        SHOW_LICENSE: _("Read license..."),
    }[action]
    return label.format(**facts or {})


def panelErrors() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The panel's own codes: sentence with named placeholders, and up to three actions.

    A function and not a constant, so that the sentences are translated when they are needed.
    """
    return _oddErrors() | {
        "ENGINE_MISSING": (_("The AI engine is not installed."), (INSTALL,)),
        "ENGINE_DAMAGED": (
            _("The AI engine is only partly installed, probably an interrupted install."),
            (REPAIR,),
        ),
        "ENGINE_OLD": (_("The AI engine is too old: {packages}."), (UPDATE,)),
        "ENGINE_HELPER": (
            _(
                'The PyTorch helper extension is needed once. Install "PyTorch" in the Extensions'
                " Manager, restart Slicer and press Install again."
            ),
            (),
        ),
        "SLICER_OLD": (_("This is Slicer {found}. VeloxSeg needs Slicer {needed} or newer."), ()),
        "ENGINE_BUILD": (
            _("The installed engine does not support this graphics card; the CPU will be used."),
            (REPAIR, CHOOSE_CPU),
        ),
        "ENGINE_DRIVER": (
            _("The graphics driver ({found}) is older than this engine needs ({needed})."),
            (CHOOSE_CPU, UPDATE_DRIVER),
        ),
        **_installErrors(),
        "START_FAILED": (
            _("The AI engine could not be started. Its Python program was not found or may not run."),
            (RETRY, SHOW_LOG),
        ),
        "TIMEOUT_START": (
            _("The AI engine did not start within {seconds} s. Security software may be scanning it."),
            (RETRY, SHOW_LOG),
        ),
        "CRASH": (
            _("The computation ended unexpectedly (code {exitCode}). Your images are unchanged."),
            (USE_CPU, COPY_REPORT),
        ),
        "RESULT_MISSING": (
            _("The computation ended without a result. Your images are unchanged."),
            (RETRY, COPY_REPORT),
        ),
        "RESULT_DAMAGED": (
            _("The result was not loaded, because its report is damaged ({problem}). Your images are unchanged."),
            (RETRY, COPY_REPORT),
        ),
        "ENGINE_PROTOCOL": (
            _(
                "The AI engine answered with something that this panel does not understand. Your images are unchanged."
                " Restart Slicer if it comes again."
            ),
            (RETRY, COPY_REPORT),
        ),
        "RESULT_GRID": (_("The result does not match the image grid and was not loaded."), (COPY_REPORT,)),
        "RESULT_LABELS": (
            _("The result holds labels that the model card does not name and was not loaded."),
            (SHOW_CARD, COPY_REPORT),
        ),
        "BUSY": (_("A computation is already running. Wait for it or press Cancel."), ()),
        "EXPORT_FAILED": (
            _(
                "The {role} image could not be written to the temporary folder, although there is space for it. Choose"
                " another folder for temporary files."
            ),
            (CHOOSE_FOLDER, RETRY, SHOW_LOG),
        ),
        "MODEL_NONE": (_("No model is installed for this task."), ()),
        "BATCH_OUTPUT": (_("Nothing can be written to {folder}. Choose another folder for the results."), ()),
        "IMAGE_UNREADABLE": (_("The image '{image}' cannot be read. Its file may be cut off or in use; the log says more."), ()),
        "IMAGE_MISSING": (_("The image '{image}' is not there any more."), ()),
        "MODEL_LICENSE": (
            _("The license of {model} ({license}) restricts its use. Read and accept it before the first run."),
            (SHOW_LICENSE,),
        ),
        "MODEL_CARD": (_("The model in folder '{folder}' cannot be used: {reason}."), ()),
        "ROLE_MISSING": (
            _("The {role} image is missing. This model cannot run without it."),
            (CHOOSE, LOAD_SAMPLE),
        ),
        "ROLE_INCOMPLETE": (
            _("The {role} series is missing. This model compares {role} with {others} and cannot run on {given} alone."),
            (CHOOSE, LOAD_SAMPLE),
        ),
        "ROLE_DOUBLED": (_("Already used for {other}. Choose another image for {role}."), (CHOOSE_ANOTHER,)),
        "ROLE_COLOR": (
            _("'{image}' is a color photo. This model needs a {role} volume."),
            (SHOW_PHOTO_TASKS,),
        ),
        "ROLE_LABELS": (_("'{image}' is a label map and no image. Choose another image for {role}."), (CHOOSE_ANOTHER,)),
        "ROLE_COMPONENTS": (
            _("'{image}' has {count} values in each voxel. This model needs a {role} volume with one."),
            (CHOOSE_ANOTHER,),
        ),
        "ROLE_GRAY": (
            _("This model reads color photos; '{image}' is a gray volume with {slices} slices."),
            (CHOOSE_ANOTHER,),
        ),
        "ROLE_GRAY_PHOTO": (
            _("This model reads color photos; '{image}' is a gray picture."),
            (CHOOSE_ANOTHER,),
        ),
        "PHOTO_STACK": (
            _("This model reads one photo; '{image}' is a stack of {slices} color pictures."),
            (CHOOSE_ANOTHER,),
        ),
        "PHOTO_SIZE": (
            _("'{image}' has {width} x {height} pixels. Each side of a photo must have {shortest} to {longest} pixels."),
            (CHOOSE_ANOTHER,),
        ),
        "PHOTO_TYPE": (
            _("'{image}' stores its colors as {found}. Save the photo with 8 bits for each color."),
            (CHOOSE_ANOTHER,),
        ),
        "PHOTO_ALPHA": (_("The transparency channel is ignored."), ()),
        "ROLE_EMPTY": (_("'{image}' has no voxels. Choose another image for {role}."), (CHOOSE_ANOTHER,)),
        "IMAGE_CONSTANT": (_("The image '{image}' is constant."), (CHOOSE_ANOTHER,)),
        "IMAGE_NUMBERS": (
            _("The image '{image}' contains no numbers in {percent} % of voxels. They count as empty in the computation."),
            (CHOOSE_ANOTHER,),
        ),
        "IMAGE_NO_NUMBERS": (
            _("The image '{image}' contains no numbers in {percent} % of voxels. Choose another image for {role}."),
            (CHOOSE_ANOTHER,),
        ),
        "ROLE_MODALITY": (
            _("'{image}' is stored as {found}, the model expects {needed}."),
            (ACCEPT, CHOOSE_ANOTHER),
        ),
        "ROLE_NONLINEAR": (_("{role} has a deformation that must be applied first."), (OPEN_TRANSFORMS,)),
        "ROLE_POSITION": (
            _("'{image}' has a position that is no number. Correct its spacing, origin and transform, or choose another image."),
            (CHOOSE_ANOTHER,),
        ),
        "ROLE_SHEAR": (
            _(
                "'{image}' has a position or transform that skews or flattens it: its axes are {degrees} degrees away from"
                " right angles. Resample the image first, for example with the Resample Scalar/Vector/DWI Volume module."
            ),
            (CHOOSE_ANOTHER,),
        ),
        "ROLE_STRAIGHTENED": (
            _("The axes of '{image}' are {degrees} degrees away from right angles; the nearest right angles are taken."),
            (SHOW_GEOMETRY,),
        ),
        "ROLE_UNIT": (
            _("{role} values are activity ({unit}), not SUV. The model and SUV measures need {needed}."),
            (EXPLAIN_SUV, CONVERT_TO_SUV, WITHOUT_SUV),
        ),
        "ROLE_SUV_KIND": (
            _("{role} values are {unit}; the model and the measures need {needed}."),
            (EXPLAIN_SUV, WITHOUT_SUV, CHOOSE_ANOTHER),
        ),
        "ROLE_UNIT_DOUBTED": (
            _("{role} is stored as {unit}, but its largest value {largest} is too high for SUV."),
            (CONVERT_TO_SUV, TREAT_AS_SUV, CHOOSE_ANOTHER),
        ),
        "ROLE_UNIT_UNKNOWN": (
            _("The unit of this {role} is not stored. Largest value {largest}: typical of SUV."),
            (TREAT_AS_SUV, CHOOSE_ANOTHER),
        ),
        "ROLE_UNIT_HIGH": (
            engine.ODD["PET_UNIT"][0],
            (CONVERT_TO_SUV, TREAT_AS_SUV, CHOOSE_ANOTHER),
        ),
        "ROLE_OVERLAP": (
            _("{role} and {reference} overlap by {percent} %. They may not be aligned, and the result would be wrong."),
            (REGISTER, ACCEPT, CHOOSE_ANOTHER),
        ),
        "GRID_DIFFERS": (
            _(
                "{role} ({spacing} mm) and {reference} ({referenceSpacing} mm) have different grids and cover"
                " the same region. A copy of {role} will be resampled to {reference} for the computation;"
                " your images stay as they are."
            ),
            (SHOW_GEOMETRY,),
        ),
        "GRID_PART": (
            _(
                "{role} ({spacing} mm) and {reference} ({referenceSpacing} mm) have different grids; {role} covers"
                " {percent} % of {reference}. A copy of {role} will be resampled to {reference} for the computation;"
                " your images stay as they are."
            ),
            (SHOW_GEOMETRY,),
        ),
        "GRID_MOVED": (_("{role} has a linear transform. It will be applied to a copy."), (SHOW_GEOMETRY,)),
        "REGION_OUTSIDE": (
            _("The region does not touch {reference}. Move it over the image, or use the whole image."),
            (WHOLE_IMAGE,),
        ),
        "IMAGE_LARGE": (
            _("This image has {size} voxels. About {minutes} min and {needed:.1f} GB of memory; {free:.1f} GB is free."),
            (USE_REGION, USE_FAST, CONTINUE),
        ),
        "IMAGE_LONG": (
            _("This image has {size} voxels. About {minutes} min and {needed:.1f} GB of memory."),
            (USE_REGION, USE_FAST, CONTINUE),
        ),
        "DISK_FULL": (
            _("{free:.1f} GB free on the temporary drive, about {needed:.1f} GB needed."),
            (CHOOSE_FOLDER, RETRY),
        ),
        "SAMPLE_NILEARN": (
            _("This sample is drawn on brain maps of nilearn. Type in Slicer's Python console: pip_install('nilearn')."),
            (),
        ),
        "SAMPLE_FAILED": (_("The sample data could not be prepared. The log says why."), (SHOW_LOG,)),
        "UNEXPECTED": (
            _("Something unexpected happened in '{stage}'. Your images are unchanged."),
            (SHOW_LOG, COPY_REPORT),
        ),
    }


def _oddErrors() -> dict[str, tuple[str, tuple[str, ...]]]:
    """What is odd about images, in the engine's sentences."""
    actions = {
        "PET_UNIT": (CONVERT_TO_SUV, CHOOSE_ANOTHER),
        "PET_SCALE": (CONVERT_TO_SUV, CHOOSE_ANOTHER),
        "PET_LOW": (CONVERT_TO_SUV, CHOOSE_ANOTHER),
        "GRID_SPACING": (SHOW_GEOMETRY, CHOOSE_ANOTHER),
        "GRID_EXTENT": (SHOW_GEOMETRY, CHOOSE_ANOTHER),
        "MODEL_DOMAIN": (SHOW_CARD,),
        "MODEL_FIELD": (SHOW_CARD, CHOOSE_ANOTHER),
        "COVERAGE": (SHOW_GEOMETRY,),
    }
    return {code: (found, actions.get(code, (CHOOSE_ANOTHER,))) for code, (found, _remedy) in engine.ODD.items()}


def _installErrors() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Why an install failed, see PipFailure."""
    actions = (TRY_INSTALL, OFFLINE, SHOW_LOG)
    return {
        "INSTALL_NETWORK": (
            _("The download server could not be reached. Check the connection or proxy, or install from files."),
            actions,
        ),
        "INSTALL_CERTIFICATE": (
            _(
                "The certificate of the download server was not accepted, as happens behind a proxy that reads along."
                " Ask your IT department, or install from files."
            ),
            actions,
        ),
        "INSTALL_DOWNLOAD": (_("A downloaded file is damaged. Try again, or install from files."), actions),
        "INSTALL_NO_WHEEL": (
            _(
                "No release of {package} fits this Slicer (Python {python}, {system} {machine}). Use the newest Slicer or"
                " another computer."
            ),
            (SHOW_LOG,),
        ),
        "INSTALL_DISK": (
            _("The disk is full. The engine needs up to 6 GB beside Slicer and as much for temporary files; free some space."),
            (TRY_INSTALL, SHOW_LOG),
        ),
        "INSTALL_PERMISSION": (
            _(
                "Nothing may be written into Slicer's own folder. Install Slicer into a folder of yours, or run it once as"
                " its owner."
            ),
            (TRY_INSTALL, SHOW_LOG),
        ),
        "INSTALL_IN_USE": (_("Files of the engine are in use. Restart Slicer and try again."), (TRY_INSTALL, SHOW_LOG)),
        "INSTALL_CONFLICT": (
            _(
                "Packages of the engine contradict others of this Slicer; the log names them. Remove the extension that"
                " brought them, or use a fresh Slicer."
            ),
            (TRY_INSTALL, SHOW_LOG),
        ),
        "INSTALL_FAILED": (_("The engine was not installed. The log says why."), actions),
    }


# Told without a warning: nothing is wrong.
REMARKS = ("GRID_DIFFERS", "GRID_PART", "GRID_MOVED", "PHOTO_ALPHA", "ROLE_STRAIGHTENED")

ENGINE_ACTIONS = {
    "MODEL_MISSING": (),
    "MODEL_CORRUPT": (SHOW_LOG,),
    "MODEL_SCHEMA": (SHOW_LOG,),
    "MODEL_NEWER": (SHOW_CARD,),
    "MODEL_ROLES": (SHOW_CARD,),
    "INPUT_MISSING": (RETRY, SHOW_LOG),
    "MEMORY_CPU": (USE_REGION, SHOW_LOG),
    "MEMORY_GPU": (USE_CPU, SHOW_LOG),
    "DEVICE_LOST": (USE_CPU, SHOW_LOG),
    "DRIVER_OLD": (USE_CPU, UPDATE_DRIVER),
    "ENGINE_OLD": (UPDATE,),
    "NUMERIC": (USE_CPU, COPY_REPORT),
}


class VeloxSegError(Exception):
    """An expected failure or a remark: `code`, `text` for people, `actions` for buttons, `detail` for the log.

    `facts` are the placeholders of its sentence, by which an action knows what it is about.
    """

    def __init__(self, code: str, **facts: object) -> None:
        """
        :param code: a code of `panelErrors`.
        :param facts: the placeholders of its sentence.
        """
        sentence, self.actions = panelErrors()[code]
        self.code = code
        self.facts = facts
        self.text = sentence.format(**facts)
        self.detail = ""
        super().__init__(self.text)

    @property
    def isRemark(self) -> bool:
        """Whether this is worth knowing and no reason to worry."""
        return self.code in REMARKS

    @classmethod
    def fromEngine(cls, code: str, text: str, detail: str = "") -> "VeloxSegError":
        """An error event of the runner, with the engine's own sentence."""
        error = cls("UNEXPECTED", stage="")
        error.code, error.text, error.detail = code, text, detail
        error.actions = ENGINE_ACTIONS.get(code, (SHOW_LOG,))
        error.args = (text,)
        return error
