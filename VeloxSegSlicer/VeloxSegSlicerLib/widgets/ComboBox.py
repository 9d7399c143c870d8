"""Combo boxes whose entries are a value and its text."""


def fill(combo, texts: dict[str, str], current: str | None) -> None:
    """Replace the entries of a combo box by value -> text without sending signals."""
    wasBlocked = combo.blockSignals(True)
    combo.clear()
    for value, text in texts.items():
        combo.addItem(text, value)
    combo.setCurrentIndex(list(texts).index(current) if current in texts else 0)
    combo.blockSignals(wasBlocked)
