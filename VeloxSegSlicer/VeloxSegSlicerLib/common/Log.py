"""The module's lines in Slicer's own log, which people attach to reports: no names and no paths come in."""

import logging

from veloxseg.contract import redaction


class _Redaction(logging.Filter):
    """Replaces a record's message, and its traceback, by what may be told."""

    def filter(self, record: logging.LogRecord) -> bool:
        lines = [record.getMessage()]
        if record.exc_info:
            lines.append(logging.Formatter().formatException(record.exc_info))
        record.msg, record.args, record.exc_info = redaction.redacted("\n".join(lines)), (), None
        return True


logger = logging.getLogger("VeloxSeg")
# A reload of the module runs this again.
logger.filters = [_Redaction()]
