"""The model card for reading: intended use, data, scores, limits, license."""

from html import escape

import qt
import slicer
from slicer.i18n import tr as _

from ..common.Models import ModelCard


def html(card: ModelCard, problem: str = "") -> str:
    """The card as simple HTML; every text of the package is escaped.

    :param problem: what is wrong with the installed files, shown first.
    """
    content = card.content
    training = content.get("training", {})
    parts = [_bold(problem), f"<h2>{escape(card.title)} {escape(card.version)}</h2>", _paragraph(card.summary)]
    parts.append(_paragraph(levelText(card)))
    parts += [
        _section(_("Intended use"), content.get("intended_use")),
        _section(_("Not for"), content.get("not_for")),
        _list(_("Images"), [f"{role.title}: {role.description}" for role in card.roles]),
        _list(_("Segments"), [label.name for label in card.labels]),
        _list(_("Scores"), [_scoreText(score) for score in content.get("scores", [])]),
        _list(_("Known limits"), content.get("limits", [])),
        _section(_("Training data"), f"{training.get('data', '')} {training.get('data_license', '')}"),
        _section(_("License of the weights"), card.license),
        _list(_("Please cite"), content.get("citation", [])),
    ]
    return "\n".join(part for part in parts if part)


def levelText(card: ModelCard) -> str:
    """What the level of a model means."""
    if card.is_demo:
        return _("Demo weights. Trained briefly on small or synthetic data. Not for clinical use.")
    return _("Research weights. Trained on real images; how good they are stands in the card. Not for clinical use.")


def license(card: ModelCard, text: str) -> str:
    """The license in full."""
    title = _("License of {model}: {license}").format(model=card.title, license=card.license)
    return f'<h3>{escape(title)}</h3><p style="white-space: pre-wrap">{escape(text)}</p>'


def hint(text: str) -> str:
    """A sentence where a card would be."""
    return _paragraph(text)


def comparison(first: ModelCard, second: ModelCard) -> str:
    """Two cards next to each other; scores are matched by their names."""
    columns = (_facts(first), _facts(second))
    names = list(dict.fromkeys(name for facts in columns for name in facts))
    rows = [_row([name, *(facts.get(name, "-") for facts in columns)]) for name in names]
    titles = _row(["", *(f"<b>{escape(card.title)}</b>" for card in (first, second))])
    return f'<table border="1" cellspacing="0" cellpadding="4">{titles}{"".join(rows)}</table>'


def _facts(card: ModelCard) -> dict[str, str]:
    """Name of a fact -> its text, escaped."""
    content, training = card.content, card.content.get("training", {})
    facts = {
        _("Version"): card.version,
        _("Level"): card.level,
        _("Images"): ", ".join(role.title for role in card.roles),
        _("Segments"): ", ".join(label.name for label in card.labels),
        _("Network"): card.network,
        _("Training data"): training.get("data", ""),
        _("Steps of training"): str(training.get("steps", "")),
        _("Date of training"): training.get("date", ""),
        _("License of the weights"): card.license,
        _("Known limits"): " ".join(content.get("limits", [])),
    }
    facts |= {score["name"]: _valueText(score) for score in content.get("scores", [])}
    return {escape(name): escape(text) for name, text in facts.items()}


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


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


def _valueText(score: dict) -> str:
    """A score's value with its interval and the number of cases."""
    low, high = score.get("interval_95") or (None, None)
    interval = _(" (95 % interval {low:.2f} to {high:.2f})").format(low=low, high=high) if low is not None else ""
    synthetic = _(", synthetic") if score.get("synthetic") else ""
    text = _("{value:.2f}{interval}, n = {n}{synthetic}")
    return text.format(value=score["value"], interval=interval, n=score["n"], synthetic=synthetic)


def _scoreText(score: dict) -> str:
    baseline = score.get("baseline")
    compared = _("; {name}: {value:.2f}").format(**baseline) if baseline else ""
    return _("{name}: {value}, {data}{compared}").format(
        name=score["name"], value=_valueText(score), data=score["data"], compared=compared
    )


def _section(title: str, text: str | None) -> str:
    return f"<h3>{escape(title)}</h3>{_paragraph(text)}" if text and text.strip() else ""


def _bold(text: str) -> str:
    return f"<p><b>{escape(text)}</b></p>" if text else ""


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(title: str, entries: list[str]) -> str:
    if not entries:
        return ""
    return f"<h3>{escape(title)}</h3><ul>" + "".join(f"<li>{escape(entry)}</li>" for entry in entries) + "</ul>"
