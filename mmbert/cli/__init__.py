"""The commands, a screenful each. Nothing heavy is imported before a command's options are known to be right."""
