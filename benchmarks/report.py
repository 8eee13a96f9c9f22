"""Results, and their ratios to what we aim at."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass
class Line:
    """One result: a figure of somebody, perhaps as a ratio, perhaps with an aim."""

    what: str
    who: str
    figure: str
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


class Report:
    """Prints lines as they come, and keeps them for the table at the end."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def add(
        self,
        what: str,
        who: str,
        figure: str,
        *,
        ratio: str = "",
        aim: str = "",
        met: bool | None = None,
    ) -> None:
        line = Line(what, who, figure, ratio, aim, met)
        self.lines.append(line)
        self.say(f"  {what}: {who} {figure} {ratio} {_verdict(line)}".rstrip())

    def table(self) -> str:
        """Markdown, its columns as wide as they must be."""
        rows = [("what", "who", "figure", "ratio", "aim", "")]
        last = ""
        for line in self.lines:
            what = "" if line.what == last else line.what
            last = line.what
            word = {None: "", True: "met", False: "MISSED"}[line.met]
            rows.append((what, line.who, line.figure, line.ratio, line.aim, word))
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        text = [_row(row, widths) for row in rows]
        text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(text)

    def json(self, **more: Any) -> str:
        return json.dumps({**more, "lines": [asdict(line) for line in self.lines]}, indent=1)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"


def _verdict(line: Line) -> str:
    return "" if line.met is None else f"(aim {line.aim}: {'met' if line.met else 'MISSED'})"


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """How many times `other` `one` is: the median over rounds.

    A round has measured both shortly after one another, so what else the machine did then
    weighs on both.
    """
    return median(a / b for a, b in zip(one, other, strict=True))


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Median, and the best and the worst."""
    return (
        f"{median(values) * scale:.{digits}f} "
        f"({min(values) * scale:.{digits}f}-{max(values) * scale:.{digits}f})"
    )
