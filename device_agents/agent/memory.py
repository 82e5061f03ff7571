"""Peak memory of a process by VmHWM, never by ru_maxrss, which a small child inherits from a big parent."""

from __future__ import annotations

from typing import Optional, Union


def reset_peak() -> bool:
    """Sets this process's VmHWM back to what it uses now; False where the kernel doesn't offer it."""
    try:
        with open("/proc/self/clear_refs", "w") as stream:
            stream.write("5")
    except OSError:
        return False
    return True


def peak_bytes(pid: Union[int, str] = "self") -> Optional[int]:
    """VmHWM of a process in bytes; None where /proc doesn't say."""
    try:
        with open("/proc/%s/status" % pid, encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
