"""The command line: a module per group of commands, imported by the program alone."""
