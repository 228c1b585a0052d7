"""The chart is well-formed and puts its points where they belong."""

from xml.etree import ElementTree

from bench.svg import HEIGHT, LEFT, RIGHT, WIDTH, chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_flat_line_is_flat_and_spans_the_chart() -> None:
    tree = ElementTree.fromstring(chart("a < b", "series", "µs", {"x": [(1_000, 0.5), (100_000, 0.5)]}))
    line = tree.find(f"{SVG}polyline")
    assert line is not None
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert [x for x, _ in points] == [LEFT, WIDTH - RIGHT]
    assert points[0][1] == points[1][1] < HEIGHT
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert "a < b" in texts
    assert "100,000" in texts


def test_the_largest_value_fits_below_the_top() -> None:
    tree = ElementTree.fromstring(chart("t", "x", "y", {"a": [(1, 0.0), (10, 3.1)], "b": [(1, 0.01), (10, 0.02)]}))
    circles = [float(circle.attrib["cy"]) for circle in tree.iter(f"{SVG}circle")]
    assert min(circles) >= 40
    assert len(circles) == 4
