"""What other libraries import without need: hidden or put off, and as before afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tasks.hidden import hidden


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dear_one.py").write_text("value = 7\n")
    (tmp_path / "dear_user.py").write_text("import dear_one as dear\n\n\ndef use():\n    return dear.value\n")
    (tmp_path / "dear_trier.py").write_text("try:\n    import dear_one\nexcept ImportError:\n    dear_one = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("dear_one", "dear_user", "dear_trier"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("modules")
def test_a_hidden_module_looks_as_if_it_were_not_installed() -> None:
    with hidden("dear_one"):
        import dear_trier
    assert dear_trier.dear_one is None
    import dear_one

    assert dear_one.value == 7, "only meanwhile"


@pytest.mark.usefixtures("modules")
def test_a_module_that_is_put_off_is_imported_when_it_is_used() -> None:
    with hidden(later=("dear_one",)):
        import dear_user
    assert "dear_one" not in sys.modules
    assert dear_user.use() == 7
    import dear_one

    assert dear_one.value == 7


@pytest.mark.usefixtures("modules")
def test_a_module_that_is_used_meanwhile_is_the_real_one() -> None:
    with hidden(later=("dear_one",)):
        import dear_user

        assert dear_user.use() == 7
    assert sys.modules["dear_one"].value == 7


@pytest.mark.usefixtures("modules")
def test_what_is_imported_already_stays() -> None:
    import dear_one

    with hidden("dear_one"):
        import dear_trier
    assert dear_trier.dear_one is dear_one
    assert sys.modules["dear_one"] is dear_one
