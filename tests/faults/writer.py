"""A process that writes to a journal until it is killed: ``python -m tests.faults.writer WHERE NAME THREADS``.

Each thread appends one event and now and then an answer, waits until they are acknowledged, and prints their ids at once. Journals that
cannot be used are told on standard error and tried again; so is what was not acknowledged, under the same ids.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from tasks.errors import RefitError
from tasks.journal import Commits, Event, Journal, JournalUnwritable, Prediction


def event(id: str) -> Event:
    return Event("orders", {"id": id, "note": "x" * 200}, key=f'["{id}"]', id=id)


def prediction(id: str) -> Prediction:
    return Prediction(id, {"id": id}, {"p": 0.5}, f'["{id}"]', "ab" * 32, "1", (0.5, 0.5), 1.0, 0.5, 0, "cd" * 32, None)


def write(commits: Commits, name: str) -> None:
    count = 0
    while True:
        count += 1
        id = f"{name}-{count}"
        predictions = [prediction(id)] if count % 3 == 0 else []
        while True:
            try:
                commits.append([event(id)], predictions).result()
                break
            except JournalUnwritable as error:
                print(error, file=sys.stderr, flush=True)
                time.sleep(0.2)
        os.write(1, f"{'both' if predictions else 'event'} {id}\n".encode())  # one write: it is there whole, or not


def main() -> None:
    where, name, threads = sys.argv[1:]
    try:
        commits = Commits(Journal(where, write=True))
    except RefitError as error:
        raise SystemExit(str(error)) from None
    for number in range(int(threads)):
        threading.Thread(target=write, args=(commits, f"{name}-{number}"), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
