"""The commands, a screenful each. Nothing heavy is imported before a command's options are known to be right."""

import sys

# python -m mmbert.cli.train: Python has put the working folder first; see mmbert/core/working_folder.py
first = sys.argv[:1] == ["-m"] and not sys.flags.safe_path
if first and sys.orig_argv[-len(sys.argv)].removeprefix("-m").startswith("mmbert."):
    sys.path[:1] = []
