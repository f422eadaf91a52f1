"""An application whose workers end as soon as they load it."""

import os


def app() -> None:
    os._exit(7)
