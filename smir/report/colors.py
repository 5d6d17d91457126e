"""The colours of the rows, the same in every plot."""

COLORS = {
    "scratch": "#6b6b6b",
    "imagenet": "#b87800",
    "random": "#0072b2",
    "random-staged": "#3a9fd0",
    "random-fixed": "#00805f",
    "selective": "#d55e00",
    "selective-cross": "#b5588f",
}
"""Okabe and Ito's colours, which the colour-blind tell apart, darkened where text in them would be pale on white."""

OTHER = "#222222"


def color(init: str) -> str:
    """Colour of a row."""
    return COLORS.get(init, OTHER)
