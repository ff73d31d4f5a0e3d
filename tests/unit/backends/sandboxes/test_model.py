from __future__ import annotations

import pickle

import pytest

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.sandboxes import (
    DirectoryNotEmpty,
    FileExists,
    FileFailed,
    FileMissing,
    FileTooLarge,
    IsADirectory,
    NotADirectory,
)


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        (FileMissing, FileNotFoundError),
        (FileExists, FileExistsError),
        (IsADirectory, IsADirectoryError),
        (NotADirectory, NotADirectoryError),
        (DirectoryNotEmpty, OSError),
        (FileTooLarge, OSError),
        (FileFailed, OSError),
    ],
)
def test_an_error_about_a_file_is_one_of_the_standard_library_and_crosses_borders(
    kind: type[ApothicError], standard: type[OSError]
) -> None:
    there = pickle.loads(pickle.dumps(kind("nothing is at 'a'", path="a")))

    assert (type(there), str(there), there.data) == (kind, "nothing is at 'a'", {"path": "a"})
    assert isinstance(there, standard)
