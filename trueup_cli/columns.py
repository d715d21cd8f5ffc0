"""Which columns of a table there is room for, and which are folded: a number broken in two reads as another one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.text import Text

GAP = 2  # between columns
SENTENCE, NAME = 32, 12  # the least in which texts are read at ease; longer ones may be folded
_LEAST = 8  # in which they are read at all


class Columns:
    """The columns of a table by name. ``spare`` are left out where there is no room, the first of them first."""

    def __init__(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[Text | str]],
        *,
        numbers: Collection[str],
        spare: Sequence[str] = (),
        sentences: Collection[str] = (),
    ) -> None:
        self._numbers = numbers
        self._spare = spare
        self._widths: dict[str, int] = {}
        self._whole: dict[str, int] = {}
        self._at_ease: dict[str, int] = {}
        for at, name in enumerate(names):
            cells = (cell_len(str(row[at])) for row in rows)
            widest = max([*cells, *map(cell_len, name.split())], default=0)
            self._widths[name] = widest
            self._whole[name] = max(widest, cell_len(name))
            most = widest if name in numbers else SENTENCE if name in sentences else NAME
            self._at_ease[name] = min(widest, most)

    def too_many(self, room: int) -> list[str]:
        """The columns to leave out, in a terminal of so many characters."""
        out: list[str] = []
        for name in self._spare:
            if sum(width + GAP for one, width in self._at_ease.items() if one not in out) - GAP <= room:
                break
            out.append(name)
        return out

    def firm(self, out: Collection[str], room: int) -> dict[str, int]:
        """Widths to keep to, without those left out, so that only long texts are folded; if need be, every text is."""
        if sum(width + GAP for name, width in self._whole.items() if name not in out) - GAP <= room:
            return {}  # nothing is folded
        kept = {name: width for name, width in self._widths.items() if name not in out}
        numbers = {name: width for name, width in kept.items() if name in self._numbers}
        short = {name: width for name, width in kept.items() if name in numbers or width <= NAME}
        for firm in (short, numbers):
            if sum(width + GAP for width in firm.values()) + (len(kept) - len(firm)) * (_LEAST + GAP) - GAP <= room:
                return firm
        return {}
