"""Secrets in files: nobody else's to read, never repeated in an error."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from grpckit import secret_file
from grpckit.errors import StartupError
from grpckit.secret_file import SecretInUse, keep_secret, read_secret, secret_in_use, secret_of, write_private
from position_service.keys.secrets import PEPPER_FILE, ROOT_KEY_FILE, load_secrets
from position_service.settings import PositionSettings

CANARY = "canary-" + "c" * 40


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f" {CANARY}\n")
    path.chmod(0o600)
    return path


def test_a_private_file_is_read(file: Path):
    assert read_secret(file, "X_FILE") == secret_of(SecretStr(""), file, "X") == CANARY
    assert secret_of(SecretStr("given"), None, "X") == "given"
    assert secret_of(SecretStr(""), None, "X") == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_touch_is_refused(file: Path, mode: int):
    file.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600") as caught:
        read_secret(file, "X_FILE")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"  \n", "is empty"), (b"\xff" + CANARY.encode(), "is not text")]
)
def test_a_file_without_a_secret_is_refused(file: Path, content: bytes, said: str):
    file.write_bytes(content)
    with pytest.raises(StartupError, match=said) as caught:
        read_secret(file, "X_FILE")
    assert CANARY not in str(caught.value)


def test_what_is_not_there_is_named(tmp_path: Path, file: Path):
    with pytest.raises(StartupError, match="X_FILE: cannot read"):
        read_secret(tmp_path / "none", "X_FILE")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(StartupError, match="X_FILE: cannot read"):
        read_secret(folder, "X_FILE")
    with pytest.raises(StartupError, match="not both"):
        secret_of(SecretStr("given"), file, "X")


def test_everybody_who_comes_first_gets_the_same_secret(tmp_path: Path):
    path, kept = tmp_path / "pepper", []
    threads = [threading.Thread(target=lambda: kept.append(keep_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 8
    assert len(set(kept)) == 1
    assert len(kept[0]) > 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["pepper"]


def test_what_is_there_is_not_overwritten(file: Path, tmp_path: Path):
    with pytest.raises(FileExistsError):
        write_private(file, "other")
    assert read_secret(file, "X_FILE") == CANARY
    with pytest.raises(StartupError, match="cannot write"):
        write_private(tmp_path / "no" / "folder", "x")


def test_the_embedded_database_has_its_own_pepper_and_where_keys_are_needed_a_root_key(tmp_path: Path):
    settings = PositionSettings()
    loose = load_secrets(settings, tmp_path, required=False)
    assert (len(loose.pepper) > 40, loose.root_key) == (True, "")
    strict = load_secrets(settings, tmp_path, required=True)
    assert (strict.pepper, len(strict.root_key) > 40) == (loose.pepper, True)
    assert {file.name for file in tmp_path.iterdir()} == {PEPPER_FILE, ROOT_KEY_FILE}
    assert strict.root_key not in repr(strict)
    assert strict.pepper.decode() not in repr(strict)


def test_a_secret_in_use_is_the_one_in_the_file(file: Path, tmp_path: Path):
    using = SecretInUse(file, "X_FILE")
    assert using() == CANARY

    def replaced(text: str, mode: int = 0o600) -> str:
        new = tmp_path / "new"
        new.write_text(text)
        new.chmod(mode)
        new.replace(file)
        return using()

    assert replaced("second\n") == "second"
    assert replaced("", 0o600) == replaced("third", 0o644) == "second"  # what cannot be used changes nothing
    file.chmod(0o600)
    assert using() == "third"
    file.unlink()
    assert using() == using() == "third"
    for text in ("fourth", "fifth!"):  # in place, of one length, and as fast as files tell time
        file.touch(0o600)
        file.write_text(text)
        assert using() == text
    os.utime(file, (1, 1))
    file.write_text("sixth!")
    os.utime(file, (1, 1))
    assert using() == "sixth!"


def test_a_secret_in_use_is_not_read_at_every_use(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(secret_file, "_TICK_NS", -1)
    using, read = SecretInUse(file, "X_FILE"), []
    monkeypatch.setattr(secret_file, "read_secret", lambda *given: read.append(given) or "again")
    assert [using() for _ in range(3)] == [CANARY] * 3
    file.chmod(0o400)
    assert [using() for _ in range(3)] == ["again"] * 3
    assert len(read) == 1


def test_a_secret_that_is_given_stays(file: Path):
    assert secret_in_use(SecretStr("given"), None, "X")() == "given"
    assert secret_in_use(SecretStr(""), None, "X")() == ""
    assert secret_in_use(SecretStr(""), file, "X")() == CANARY
    with pytest.raises(StartupError, match="X_FILE: cannot read"):
        secret_in_use(SecretStr(""), file.with_name("none"), "X")


def test_a_secret_that_vanishes_young_is_missed_aloud_and_once(file: Path):
    secret = SecretInUse(file, "X_FILE")  # the file is so new that it may still change
    with structlog.testing.capture_logs() as logs:
        file.unlink()
        assert [secret() for _ in range(3)] == [CANARY] * 3
        file.write_bytes(b"")
        file.chmod(0o600)
        assert [secret() for _ in range(3)] == [CANARY] * 3
        file.write_text("new")
        assert [secret() for _ in range(3)] == ["new"] * 3
        file.unlink()
        secret()
    said = [line.get("error", line["event"]).partition(str(file))[2] for line in logs]
    assert said == [": No such file or directory", " is empty", "", ": No such file or directory"]
