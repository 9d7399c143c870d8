"""The model card for reading: intended use, data, scores, limits, license."""

from html import escape

import qt
import slicer
from slicer.i18n import tr as _

from .Models import ModelCard


def html(card: ModelCard) -> str:
    """The card as simple HTML; every text of the package is escaped."""
    content = card.content
    training = content.get("training", {})
    parts = [f"<h2>{escape(card.title)} {escape(card.version)}</h2>", _paragraph(card.summary)]
    if card.isDemo:
        parts.append(
            _paragraph(_("Demo weights. Trained briefly on small or synthetic data. Not for clinical use."))
        )
    parts += [
        _section(_("Intended use"), content.get("intended_use")),
        _section(_("Not for"), content.get("not_for")),
        _list(_("Images"), [f"{role.title}: {role.description}" for role in card.roles]),
        _list(_("Segments"), [label.name for label in card.labels]),
        _list(_("Scores"), [_scoreText(score) for score in content.get("scores", [])]),
        _list(_("Known limits"), content.get("limits", [])),
        _section(_("Training data"), f"{training.get('data', '')} {training.get('data_license', '')}"),
        _section(_("License of the weights"), content.get("license")),
        _list(_("Please cite"), content.get("citation", [])),
    ]
    return "\n".join(part for part in parts if part)


def show(card: ModelCard):
    """Open the card in a window of its own, which does not block Slicer. The caller keeps the dialog."""
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(_("Model card: {title}").format(title=card.title))
    dialog.resize(560, 640)
    browser = qt.QTextBrowser()
    browser.setHtml(html(card))
    browser.setOpenExternalLinks(True)
    browser.accessibleName = _("Model card")
    browser.toolTip = _("What this model is for, how it was made and how well it does.")
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(browser)
    dialog.show()
    return dialog


def _scoreText(score: dict) -> str:
    low, high = score.get("interval_95", (None, None))
    interval = (
        _(" (95 % interval {low:.2f} to {high:.2f})").format(low=low, high=high) if low is not None else ""
    )
    baseline = score.get("baseline")
    compared = _("; {name}: {value:.2f}").format(**baseline) if baseline else ""
    synthetic = _(", synthetic") if score.get("synthetic") else ""
    return _("{name}: {value:.2f}{interval}, n = {n}{synthetic}, {data}{compared}").format(
        name=score["name"],
        value=score["value"],
        interval=interval,
        n=score["n"],
        synthetic=synthetic,
        data=score["data"],
        compared=compared,
    )


def _section(title: str, text: str | None) -> str:
    return f"<h3>{escape(title)}</h3>{_paragraph(text)}" if text and text.strip() else ""


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(title: str, entries: list[str]) -> str:
    if not entries:
        return ""
    return (
        f"<h3>{escape(title)}</h3><ul>" + "".join(f"<li>{escape(entry)}</li>" for entry in entries) + "</ul>"
    )
