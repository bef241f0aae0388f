"""What turns into the broker: asks the kernel to end it with its parent, then becomes the given command.

Run as a program (``python launcher.py PARENT_PID COMMAND ...``), not imported: between fork and exec of a process with
threads, Python code is not safe.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Bind this process's life to its parent's, where the system can (Linux), and exec the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # SIGKILL, because a frozen broker takes no other; Kafka recovers its log from it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - to become the broker is what it is for


if __name__ == "__main__":
    main()
