#!/usr/bin/python3
"""memcached and Magpie are asked the same, and answer the same but for a list of differences.

See t/twin/README.md.  TWIN_SEED makes another run, TWIN_SECONDS a longer one, TWIN_FAILURES says
how many failures are shrunk before it ends, TWIN_REPLAY names a file with one case.
"""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "twin")]

import main  # noqa: E402

main.main()
