"""Expected failures: one class, and one closed table of the panel's own codes.

Errors of the engine arrive as (code, text) and keep the engine's sentence; only their buttons are decided
here.
"""

from slicer.i18n import tr as _

# What a button beside a message does. The panel maps each to one of its own methods.
INSTALL = "install"
REPAIR = "repair"
USE_CPU = "useCpu"
RETRY = "retry"
SHOW_LOG = "showLog"
COPY_REPORT = "copyReport"
SHOW_CARD = "showCard"


def actionLabel(action: str, facts: dict | None = None) -> str:
    """The text on the button of an action.

    :param facts: what the message knows, for labels that name an image.
    """
    label = {
        INSTALL: _("Install"),
        REPAIR: _("Repair"),
        USE_CPU: _("Run on CPU"),
        RETRY: _("Try again"),
        SHOW_LOG: _("Show log"),
        COPY_REPORT: _("Copy report"),
        SHOW_CARD: _("Model card"),
    }[action]
    return label.format(**facts or {})


def panelErrors() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The panel's own codes: sentence with named placeholders, and up to three actions.

    A function and not a constant, so that the sentences are translated when they are needed.
    """
    return {
        "ENGINE_MISSING": (_("The AI engine is not installed."), (INSTALL,)),
        "ENGINE_DAMAGED": (
            _("The AI engine is only partly installed, probably an interrupted install."),
            (REPAIR,),
        ),
        "ENGINE_HELPER": (
            _(
                'The PyTorch helper extension is needed once. Install "PyTorch" in the Extensions'
                " Manager, restart Slicer and press Install again."
            ),
            (),
        ),
        "INSTALL_FAILED": (
            _("The AI engine could not be installed. Check the connection or proxy and try again."),
            (INSTALL, SHOW_LOG),
        ),
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
        "RESULT_GRID": (_("The result does not match the image grid and was not loaded."), (COPY_REPORT,)),
        "RESULT_LABELS": (
            _("The result holds labels that the model card does not name and was not loaded."),
            (SHOW_CARD, COPY_REPORT),
        ),
        "BUSY": (_("A computation is already running. Wait for it or press Cancel."), ()),
        "EXPORT_FAILED": (
            _(
                "The {role} image could not be written to the temporary folder. Free some disk space"
                " and try again."
            ),
            (RETRY, SHOW_LOG),
        ),
        "MODEL_NONE": (_("No model is installed for this task."), ()),
        "MODEL_CARD": (_("The model in folder '{folder}' cannot be used: {reason}."), ()),
        "ROLE_MISSING": (_("The {role} image is missing. This model cannot run without it."), ()),
        "ROLE_DOUBLED": (_("Already used for {other}. Choose another image for {role}."), ()),
        "ROLE_COLOR": (
            _("'{image}' is a color picture. This model needs a gray-value volume as {role}."),
            (),
        ),
        "ROLE_GRAY": (
            _("This model reads color photos; '{image}' is a gray volume with {slices} slices."),
            (),
        ),
        "ROLE_EMPTY": (_("'{image}' has no voxels. Choose another image for {role}."), ()),
        "ROLE_NONLINEAR": (
            _(
                "'{image}' has a deformation that must be applied first. Open the Transforms module and"
                " harden it."
            ),
            (),
        ),
        "ROLE_SHEAR": (
            _(
                "'{image}' has a position or transform that skews or flattens it. Resample the image first,"
                " for example with the Resample Scalar/Vector/DWI Volume module."
            ),
            (),
        ),
        "ROLE_UNIT": (
            _(
                "'{image}' holds activity ({unit}), but this model needs {needed}. Load it with the PET DICOM"
                " extension, which computes SUV."
            ),
            (),
        ),
        "ROLE_OVERLAP": (
            _(
                "{role} and {reference} overlap by {percent} %. They may not be aligned, and the result"
                " would be wrong."
            ),
            (),
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


ENGINE_ACTIONS = {
    "MODEL_MISSING": (),
    "MODEL_CORRUPT": (SHOW_LOG,),
    "MODEL_SCHEMA": (SHOW_LOG,),
    "MODEL_NEWER": (SHOW_CARD,),
    "MODEL_ROLES": (SHOW_CARD,),
    "INPUT_MISSING": (RETRY, SHOW_LOG),
    "MEMORY_CPU": (SHOW_LOG,),
    "MEMORY_GPU": (USE_CPU, SHOW_LOG),
    "NUMERIC": (USE_CPU, COPY_REPORT),
    "UNEXPECTED": (SHOW_LOG, COPY_REPORT),
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

    @classmethod
    def fromEngine(cls, code: str, text: str, detail: str = "") -> "VeloxSegError":
        """An error event of the runner, with the engine's own sentence."""
        error = cls("UNEXPECTED", stage="")
        error.code, error.text, error.detail = code, text, detail
        error.actions = ENGINE_ACTIONS.get(code, (SHOW_LOG,))
        error.args = (text,)
        return error
