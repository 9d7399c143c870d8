"""Processes of this computer: how this one shares the cores, and whether another is still there."""

import os
import sys


def wait_passively() -> None:
    """To be called before torch is loaded, which reads it then; a person's own wish stays.

    Threads that spin while they wait for each other cost a multiple of the time as soon as another program needs a core.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def is_running(number: int) -> bool:
    """Whether there is a process with this id; one that cannot be asked counts as running."""
    if number == os.getpid():
        return True
    if sys.platform == "win32":
        return _is_running_on_windows(number)
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_running_on_windows(number: int) -> bool:
    import ctypes

    synchronize, timed_out, invalid_parameter = 0x00100000, 0x102, 87
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    handle = kernel.OpenProcess(synchronize, False, number)
    if not handle:
        return ctypes.get_last_error() != invalid_parameter
    try:
        return kernel.WaitForSingleObject(handle, 0) == timed_out
    finally:
        kernel.CloseHandle(handle)
