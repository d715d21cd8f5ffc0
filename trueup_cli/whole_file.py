"""Files that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trueup_cli.failures import Failure


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write instead; it takes the place of ``path`` when the block ends well. Raises Failure."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None
    draft = Path(name)
    try:
        yield draft
        os.fsync(number)
        draft.replace(path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None
    finally:
        os.close(number)
        with suppress(OSError):
            draft.unlink()
