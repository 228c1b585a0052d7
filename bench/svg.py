"""A line chart as SVG, for docs/: logarithmic x, linear y, readable on light and on dark pages."""

from collections.abc import Mapping, Sequence
from math import log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 48, 56
COLOURS = ("#2f6fde", "#c2571a", "#2d8a4e", "#8a4fbf")

Line = Sequence[tuple[float, float]]


def chart(title: str, across: str, up: str, lines: Mapping[str, Line]) -> str:
    """``lines``: name → points (x > 0, y ≥ 0)."""
    points = [point for line in lines.values() for point in line]
    low, high = min(log10(x) for x, _ in points), max(log10(x) for x, _ in points)
    top = _round_up(max(y for _, y in points))

    def at(x: float, y: float) -> tuple[float, float]:
        share = (log10(x) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="24" font-size="16" class="ink">{escape(title)}</text>']
    parts += [_tick_up(top * step / 4, at(10**low, top * step / 4)[1]) for step in range(5)]
    for x in sorted({x for x, _ in points}):
        parts.append(f'<text x="{at(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x:,.0f}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 8}">{escape(up)}</text>')
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(name, [at(*point) for point in line], COLOURS[number % len(COLOURS)])
    style = (
        "text{font:13px sans-serif;fill:#666}.ink{fill:#444;font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#aaa}.ink{fill:#ddd}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{style}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _tick_up(value: float, y: float) -> str:
    return (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#8884"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _line(name: str, points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    x, y = points[-1]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}',
        f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" style="fill:{colour}">{escape(name)}</text>',
    ]


def _round_up(value: float) -> float:
    size = 10.0 ** int(log10(value) - (value < 1)) if value > 0 else 1.0
    return next(step * size for step in (1.0, 2.0, 4.0, 8.0, 10.0) if step * size >= value)
