"""``python -m tests.pages.picture [PROJECT]``: the picture of the README, of the report that the main job has made in PROJECT."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from tests.pages.browser import opened
from tests.projects import ROOT

PICTURE = ROOT / "docs" / "images" / "report.png"


def main(project: Path) -> None:
    """Take the first screen as a window of 1,180 points shows it, in few colours."""
    with opened() as browser:
        browser.look(project / "data" / "reports" / "report.html", width=1180, height=860, scale=1.5)
        browser.picture(PICTURE)
    Image.open(PICTURE).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
