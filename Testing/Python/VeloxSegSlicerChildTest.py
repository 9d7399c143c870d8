"""Every child of the panel is started in one way: nothing in a folder of images is taken for a module of Python."""

import json
import os
import sys
import unittest
from pathlib import Path

import slicer
import VeloxSegSlicerFixtures as fixtures

from VeloxSegSlicerLib.engine import Child, Process

TELL = (
    "import json, os, sys;"
    "print(json.dumps({'path': sys.path, 'folder': os.getcwd(), 'content': os.listdir(), 'python':"
    " {name: value for name, value in os.environ.items() if name.upper().startswith('PYTHON')}}))"
)
HOSTILE = ("json", "torch", "numpy", "sitecustomize", "usercustomize", "os", "encodings")


class Answer(Process.ProcessListener):
    def __init__(self):
        self.lines, self.log, self.exitCode = [], [], None

    def onLines(self, lines):
        self.lines += lines

    def onLogLines(self, lines):
        self.log += lines

    def onEnd(self, exitCode, isNormal):
        self.exitCode = exitCode


class VeloxSegSlicerChildTest(unittest.TestCase):
    def setUp(self):
        self.temporary = Path(str(slicer.app.temporaryPath))
        self.witness = self.temporary / "witness.txt"
        self.planted = [self.temporary / f"{name}.py" for name in HOSTILE]
        for path in self.planted:
            path.write_text(f"open({str(self.witness)!r}, 'a').write({path.name!r})\nraise SystemExit('hostile')\n")
            self.addCleanup(path.unlink)
        self.before = Path.cwd()
        os.chdir(self.temporary)
        self.addCleanup(os.chdir, self.before)

    def answer(self, arguments, environment=()):
        for name, value in environment:
            old = os.environ.get(name)
            os.environ[name] = value
            self.addCleanup(lambda name=name, old=old: os.environ.pop(name) if old is None else os.environ.update({name: old}))
        process = Process.Process(arguments, fixtures.modulePath())
        process.listener = answer = Answer()
        process.start()
        self.assertTrue(fixtures.waitFor(lambda: answer.exitCode is not None))
        self.assertFalse(self.witness.exists(), self.witness.read_text() if self.witness.exists() else "")
        self.assertEqual(answer.exitCode, 0, answer.log)
        return answer

    def told(self, environment=()):
        program, safe, *_ = Child.command("veloxseg")
        return json.loads(self.answer([program, safe, "-c", TELL], environment).lines[0])

    def test_commandIsSafe(self):
        self.assertEqual(Child.command("veloxseg.service.check")[1:], ["-P", "-m", "veloxseg.service.check"])

    def test_workingFolderIsPrivateAndEmpty(self):
        told = self.told()
        folder = Path(told["folder"])
        self.assertEqual(folder.parent, self.temporary.resolve())
        self.assertEqual(told["content"], [])
        self.assertFalse(folder.exists(), "the private folder was left behind")
        self.assertNotIn("", told["path"])
        self.assertNotIn(told["folder"], told["path"])
        self.assertNotIn(str(self.temporary), told["path"])

    def test_variablesOfPythonAreCleaned(self):
        hostile = str(self.temporary)
        names = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONPLATLIBDIR", "PYTHONWARNINGS")
        told = self.told([(name, hostile) for name in names])
        self.assertEqual(told["python"]["PYTHONPATH"], str(fixtures.modulePath()))
        self.assertEqual(set(told["python"]) & set(names), {"PYTHONPATH"})
        self.assertEqual(told["python"]["PYTHONSAFEPATH"], "1")

    def test_scriptsFolderIsNotSearched(self):
        script = self.temporary / "script.py"
        script.write_text("import json")
        self.addCleanup(script.unlink)
        self.answer([sys.executable, str(script)])

    def test_engineIsFound(self):
        program, safe, *_ = Child.command("veloxseg")
        self.answer([program, safe, "-c", "import veloxseg.contract.errors"])

    def test_nobodyElseStartsPython(self):
        starters = ("sys.executable", "pythonProgram()", "QProcess()", "os.system", "startDetached", '"-m"')
        starters += ("subprocess.run", "subprocess.Popen", "subprocess.check", "subprocess.call")
        lib = fixtures.modulePath() / "VeloxSegSlicerLib"
        found = {path.name for path in lib.rglob("*.py") for word in starters if word in path.read_text(encoding="utf-8")}
        # Computer asks the driver's own tool; Setup finds the interpreter.
        self.assertEqual(found, {"Child.py", "Process.py", "Setup.py", "Computer.py"})
