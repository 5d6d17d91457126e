"""Runs on disk: the folder, the recipe that names it, its environment, checkpoint record, processes and signals.

Uses `models`, `method` and `files`.
"""
