"""The study behind docs/evidence.md: is a pretraining worth it, for a few labels of your own images?"""
