"""What was seen in a real Slicer, one test for each fact: the test host must behave like it, and the module must cope."""

import pytest
import qt
import slicer

EMPTY_LAYOUT = """<ui version="4.0"><class>Top</class><widget class="QWidget" name="Top">
 <layout class="QVBoxLayout" name="outerLayout">
  <item><layout class="QGridLayout" name="emptyLayout"/></item>
  <item><widget class="QFrame" name="frame"><layout class="QGridLayout" name="innerLayout"/></widget></item>
 </layout></widget></ui>"""


def loadUi(text: str):
    buffer = qt.QBuffer()
    buffer.setData(text.encode())
    buffer.open(qt.QIODevice.ReadOnly)
    return qt.QUiLoader().load(buffer)


# PythonQt


def layoutsWithout(widgets: int) -> list:
    """Layouts of each kind with so many widgets in them; the widgets that own them go along, to be kept."""
    owners = [qt.QWidget() for _ in range(4)]
    layouts = [kind(owner) for kind, owner in zip((qt.QVBoxLayout, qt.QHBoxLayout, qt.QGridLayout, qt.QFormLayout), owners)]
    for layout in layouts * widgets:
        layout.addWidget(qt.QLabel("text"))
    return list(zip(layouts, owners))


def test_emptyLayoutsAreFalse():
    assert [bool(layout) for layout, _owner in layoutsWithout(0)] == [False] * 4
    assert [bool(layout) for layout, _owner in layoutsWithout(1)] == [True] * 4


def test_emptyNullAndInvalidObjectsAreFalse():
    menu, table = qt.QMenu(), qt.QTableWidget(1, 1)
    for empty in (menu, qt.QTextDocument(), qt.QIcon(), qt.QPixmap(), qt.QColor(), qt.QModelIndex(), qt.QKeySequence(),
                  qt.QUrl(), qt.QSize(0, 5), qt.QPoint(0, 0)):  # fmt: skip
        assert not empty, empty
    menu.addAction("action")
    pixmap = qt.QPixmap(4, 4)
    for filled in (menu, qt.QTextDocument("text"), qt.QIcon(pixmap), pixmap, qt.QColor(1, 2, 3), table.model().index(0, 0),
                   qt.QKeySequence("F1"), qt.QUrl("file:///a"), qt.QSize(5, 5), qt.QPoint(0, 1)):  # fmt: skip
        assert filled, filled


def test_objectsThatCannotBeEmptyAreTrue():
    for made in (qt.QLabel(), qt.QProcess(), qt.QTimer(), qt.QTableWidget(), qt.QTableWidgetItem(), qt.QFont()):
        assert made, made


def test_emptyLayoutsAreNotFoundByName():
    """slicer.util.findChildren passes over what is false, and so over everything below it."""
    top = loadUi(EMPTY_LAYOUT)
    ui = slicer.util.childWidgetVariables(top)
    assert hasattr(ui, "frame") and hasattr(ui, "outerLayout")
    assert not hasattr(ui, "emptyLayout") and not hasattr(ui, "innerLayout")
    assert ui.frame.layout() is not None and not ui.frame.layout()


def test_propertiesHideMethods():
    """Also virtual getters, and where a subclass overrides them."""
    table = qt.QTableWidget()
    for widget in (qt.QWidget(), qt.QLabel("text"), qt.QScrollBar(), table.horizontalScrollBar()):
        assert widget.sizeHint.height() is not None and widget.minimumSizeHint.width() is not None
        with pytest.raises(TypeError, match="not callable"):
            widget.sizeHint()
    layout = qt.QVBoxLayout()
    layout.setSpacing(7)
    assert layout.spacing == 7
    bar = qt.QProgressBar()
    bar.value = 30
    assert bar.text == "30%"
    for call in (lambda: layout.spacing(), lambda: bar.text()):
        with pytest.raises(TypeError, match="not callable"):
            call()


def test_timerHasNoPropertySingleShot():
    """PythonQt leaves it out, because the static function of this name is wanted."""
    timer = qt.QTimer()
    with pytest.raises(AttributeError):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()


@pytest.mark.parametrize("value", [None, "", []])
def test_boolPropertiesTakeNothingForFalse(value):
    label = qt.QLabel()
    label.enabled = value
    assert label.enabled is False


def test_keywordsAndUnknownAttributesAreErrors():
    label = qt.QLabel()
    with pytest.raises(AttributeError):
        label.colour = "red"
    with pytest.raises(AttributeError, match="overwritten"):
        label.setText = "red"


def test_plainTooltipsComeBackAsRichText():
    label = qt.QLabel()
    label.toolTip = "a < b"
    assert label.toolTip == "<p>a &lt; b</p>"
    label.setToolTip("<b>bold</b>")
    assert label.toolTip == "<b>bold</b>"
    label.toolTip = ""
    assert label.toolTip == ""
    loaded = loadUi(
        '<ui version="4.0"><class>T</class><widget class="QLabel" name="T">'
        '<property name="toolTip"><string>text</string></property></widget></ui>'
    )
    assert loaded.toolTip == "<p>text</p>"
