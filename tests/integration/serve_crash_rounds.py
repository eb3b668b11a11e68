"""The soak test of a supervisor that is killed, in short: tests/soak/crash.py."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["LATHE_SOURCE"], "tests", "soak"))
from liblathe import SANITIZED  # noqa: E402
import crash  # noqa: E402

crash.main(2 if SANITIZED else 6)
