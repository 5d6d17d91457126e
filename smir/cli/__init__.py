"""The command line: settings and what they may name, the class behind the training commands, hints, `job`, `plan`.

Uses every other room.
"""
