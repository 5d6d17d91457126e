"""The command line: settings and the classes they may name, the training commands, hints, `job`, `plan`.

Uses every other room.
"""
