"""The soak test of hot swaps, in short: tests/soak/swaps.py."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["LATHE_SOURCE"], "tests", "soak"))
from liblathe import SLOWER  # noqa: E402
import swaps  # noqa: E402

swaps.main(60 // SLOWER, 60 // SLOWER, 2)
