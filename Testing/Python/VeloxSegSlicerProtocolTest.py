"""Lines, events and progress."""

import unittest

from veloxseg.contract import protocol
from VeloxSegSlicerLib.engine.Protocol import EVENTS, STAGE_START, LineBuffer, Progress, eventOf
from VeloxSegSlicerLib.run import Times


class VeloxSegSlicerProtocolTest(unittest.TestCase):
    def test_everyEventAndStageOfTheRunnerIsKnown(self):
        self.assertEqual(EVENTS.keys(), protocol.EVENTS)
        self.assertEqual(STAGE_START.keys(), protocol.STAGES.keys())

    def test_linesInPieces(self):
        buffer = LineBuffer()
        self.assertEqual(buffer.feed(b'{"a'), [])
        self.assertEqual(buffer.feed(b'": 1}\r\n\xc3'), ['{"a": 1}'])
        self.assertEqual(buffer.feed(b"\xa4\n\xff\n"), ["\u00e4", "\ufffd"])
        self.assertEqual(buffer.feed(b"rest"), [])
        self.assertEqual(buffer.flush(), ["rest"])
        self.assertEqual(buffer.flush(), [])

    def test_onlyObjectsWithEventAreEvents(self):
        self.assertEqual(eventOf('{"event": "stage", "name": "reading"}')["name"], "reading")
        for line in ("", "text", "[1]", "1", '{"stage": 1}', '{"event": 3}', "{", "null"):
            self.assertIsNone(eventOf(line), line)

    def test_progressNeverGoesBack(self):
        progress, percents = Progress(), []
        for action in (
            lambda: progress.stage("reading"),
            lambda: progress.stage("computing"),
            lambda: progress.windows(5, 10, 8.0),
            lambda: progress.windows(3, 10, 9.0),
            lambda: progress.stage("reading"),
            lambda: progress.windows(10, 10, 0.0),
            lambda: progress.stage("writing"),
            lambda: progress.stage("unknown"),
        ):
            action()
            percents.append(progress.percent)
        self.assertEqual(percents, sorted(percents))
        self.assertEqual(progress.done, 10)
        self.assertLess(progress.percent, 100)

    def test_timeLeftGrowsSlowly(self):
        progress = Progress()
        progress.windows(1, 10, 12.0)
        progress.windows(2, 10, 60.0)
        self.assertAlmostEqual(progress.secondsLeft, 16.0)
        progress.windows(3, 10, 2.0)
        self.assertAlmostEqual(progress.secondsLeft, 2.0)

    def test_timeLeftWaitsForAWindowOrTwo(self):
        progress = Progress()
        progress.windows(1, 100, 99.0)
        self.assertIsNone(progress.secondsLeft)
        progress.windows(5, 100, 50.0)
        self.assertAlmostEqual(progress.secondsLeft, 50.0)

    def test_nonsenseProgressIsIgnored(self):
        progress = Progress()
        progress.windows(1, 0, None)
        progress.windows(20, 10, None)
        self.assertEqual((progress.done, progress.total), (10, 10))

    def test_timeLeftInWords(self):
        self.assertEqual(Times.leftInWords(None), "")
        self.assertEqual(Times.leftInWords(13.6), "14 s left")
        self.assertEqual(Times.leftInWords(0.0), "1 s left")
        self.assertEqual(Times.leftInWords(190.0), "about 3 min left")
