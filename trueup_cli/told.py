"""How far a notifier is: one revision, in a file where one is named."""

from __future__ import annotations

import json
from pathlib import Path

from trueup_cli.failures import Failure
from trueup_cli.whole_file import replaced


class Told:
    """Up to which revision all is done, None: nothing is yet. Raises Failure for a file that cannot keep it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.revision = None if file is None else _read(file)
        self._keep()  # what cannot be kept is better known before anything is delivered

    def move(self, revision: int) -> None:
        """All is done up to here."""
        if revision != self.revision:
            self.revision = revision
            self._keep()

    def _keep(self) -> None:
        if self._file is not None:
            with replaced(self._file) as draft:
                draft.write_text(json.dumps({"revision": self.revision}) + "\n")


def _read(file: Path) -> int | None:
    try:
        revision = json.loads(file.read_text())["revision"]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        revision = -1
    if revision is None or (type(revision) is int and revision >= 0):
        return revision
    raise Failure(f"{file} is no state of `trueup notify`: name another file, or remove it to begin anew")
