"""The commands, a screenful each. Nothing heavy is imported before a command's options are known to be right."""

import sys

if sys.argv[:1] == ["-m"] and any(word.startswith("mmbert.") for word in sys.orig_argv[1:4]):
    # python -m mmbert.cli.train: Python has put the working folder first; see mmbert/core/working_folder.py
    sys.path[:1] = []
