"""Colours as a person names them."""

import colorsys
import re

NEUTRAL = "neutral"


def hue(colour: str) -> str:
    """Name a colour, given as CSS has it."""
    red, green, blue = (
        (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        if colour.startswith("#")
        else map(int, re.findall(r"\d+", colour)[:3])
    )
    turn, _, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    if saturation < 0.2 or red == green == blue:
        return NEUTRAL
    degrees = turn * 360
    limits = {12: "red", 40: "orange", 70: "yellow", 170: "green", 250: "blue", 320: "purple", 361: "red"}
    return next(name for limit, name in limits.items() if degrees < limit)
