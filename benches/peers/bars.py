"""Draws horizontal bars as SVG, in groups, with their values written beside them."""

import math
from xml.sax.saxutils import escape

WIDTH, LABELS, VALUES = 760, 230, 70
BAR, GAP, TOP = 13, 12, 56
COLOURS = ("#30638e", "#d1495b", "#edae49", "#66a182")


def drawn(title, series, groups, logarithmic):
    """An image of `groups`, each a label and one value (or None) for each name in `series`."""
    known = [value for _, values in groups for value in values if value is not None and value > 0]
    scale = _scale(known, logarithmic)
    body = [_text(10, 22, title, size=15, weight="bold")]
    if logarithmic:
        body.append(_text(WIDTH - 10, 22, "logarithmic scale", anchor="end"))
    for number, name in enumerate(series):
        x = LABELS + 110 * number
        body.append(_bar(x, 34, 10, 10, number))
        body.append(_text(x + 15, 43, name))
    y = TOP
    for label, values in groups:
        body.append(_text(LABELS - 8, y + BAR * len(values) / 2 + 4, label, anchor="end"))
        for number, value in enumerate(values):
            if value is not None:
                length = scale(value)
                body.append(_bar(LABELS, y, length, BAR - 2, number))
                body.append(_text(LABELS + length + 5, y + BAR - 3, _number(value), size=10))
            y += BAR
        y += GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            'font-family="sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _scale(known, logarithmic):
    """From a value to the length of its bar. A logarithmic one begins at the power of ten below all values."""
    room, most = WIDTH - LABELS - VALUES, max(known, default=1)
    if not logarithmic:
        return lambda value: room * value / most
    least = 10 ** math.floor(math.log10(min(known, default=1) * 0.999))
    return lambda value: room * math.log(max(value, least) / least) / math.log(most / least)


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bar(x, y, width, height, number):
    colour = COLOURS[number % len(COLOURS)]
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x, y, text, size=12, weight="normal", anchor="start"):
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text {place} fill="#222">{escape(text)}</text>'
