"""Whom ``notify`` of ``params.yaml`` names is told of failures, verdicts and alarms; each once, however often a run is repeated.

Addresses are secrets: ``params.yaml`` has the name of a variable of the environment, which is read when there is something to tell
(the name alone: `dvc exp run -S` would look for a key of the file behind `${NAME}`).
A web address gets what Slack's and Teams' webhooks take; whatever else apprise knows (``mailto:``, ``slack:``, …) goes through it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flows.commands import Cancelled
from flows.promotion import VERDICT
from tasks.artifacts import Drift, Verdict
from tasks.errors import RefitError, first_line, shortened
from tasks.files import optional_json, sha256, write_json
from tasks.params import load

if TYPE_CHECKING:
    from flows.standing import Standing
    from flows.watcher import Watcher
    from tasks.params import Params

SENT = ".refit/notified.json"
KEPT = 500  # messages that are remembered
WAIT = 10.0  # seconds for an address to answer
CARDS = (".logic.azure.com", ".powerplatform.com")  # hosts of Teams' workflows, which take cards alone


class Undelivered(Exception):
    """An address did not take a message; says why, without the address."""


@contextmanager
def failures(root: Path, as_of: str | None, watcher: Watcher) -> Iterator[None]:
    """Tell of an error of the run, which goes on; a stop is none."""
    try:
        yield
    except Cancelled:
        raise
    except Exception as error:
        try:
            params = load(root / "params.yaml")
        except RefitError:
            raise error from None  # who is to be told stands in the file that cannot be read
        text = shortened(str(error), 1500)
        tell(root, params, watcher, "failure", f"{as_of}:{text}", f"{params.problem.name}: the run failed", text)
        raise


def conclude(root: Path, params: Params, standing: Standing | None, watcher: Watcher) -> None:
    """Tell how a run ended: its verdict, and drift."""
    name, verdict, drift = params.problem.name, Verdict.find(root / VERDICT), Drift.find(root / "data" / "drift")
    if standing is not None and verdict is not None:
        word = "waits for approval" if standing.waiting else verdict.verdict
        champion = f"version {standing.champion}" if standing.champion else "none yet"
        text = f"{standing.sentence}\nThis run: version {standing.version}; champion: {champion}."
        tell(root, params, watcher, "verdict", f"{standing.version}:{text}", f"{name}: {word}", text)
    if drift is not None and drift.drifted:
        text = "\n".join([drift.sentence, *(alarm.said for alarm in drift.alarms[:5])])
        digest = sha256(root / "data" / "drift" / Drift.NAME)
        tell(root, params, watcher, "alarm", digest, f"{name}: the data have drifted", text)
    sent = _sent(root)
    if any(one.startswith("failure:") for one in sent):  # the same failure later is news again
        write_json(root / SENT, {"sent": [one for one in sent if not one.startswith("failure:")]})


def tell(root: Path, params: Params, watcher: Watcher, when: str, event: str, title: str, text: str) -> None:
    """Send a message to everyone who did not get it yet; what cannot be sent is told by the run, and sent by the next."""
    from flows.effect_tasks import log

    if when not in params.notify.when:
        return
    for to in params.notify.to:
        mark = f"{when}:{hashlib.sha256(json.dumps([to, event]).encode()).hexdigest()}"
        sent = _sent(root)
        if mark in sent:
            continue
        try:
            if to == "log":
                log(f"{title}. {text}")
            else:
                send(address(to), title, text + _link())
        except Undelivered as error:
            watcher.note(f"notify.to: {to} was not told of the {when}: {error}")
            log(f"warning: {to} was not told of the {when}: {error}")
            continue
        write_json(root / SENT, {"sent": [*sent, mark][-KEPT:]})


def address(name: str) -> str:
    """The address that a variable of the environment holds. Raises :class:`Undelivered` where it is not set."""
    found = os.environ.get(name, "").strip()
    if not found:
        raise Undelivered(f"{name} is not set in the environment of this run")
    return found


def send(url: str, title: str, text: str) -> None:
    """Send one message. Raises :class:`Undelivered` where it was not taken."""
    import apprise

    service = apprise.Apprise.instantiate(url)
    if service is not None:
        if not service.notify(body=text, title=title):
            raise Undelivered("the service did not take it")
    elif url.startswith(("https://", "http://")):
        _post(url, form(url, title, text))
    else:
        raise Undelivered("its address is neither https:// nor one that apprise knows")


def form(url: str, title: str, text: str) -> dict[str, object]:
    """What is posted to a web address: the text, as Slack's webhooks and Teams' take it, or a card for a workflow of Teams."""
    if not (urlsplit(url).hostname or "").endswith(CARDS):
        return {"text": f"*{title}*\n{text}"}
    lines = [
        {"type": "TextBlock", "text": title, "weight": "Bolder"},
        {"type": "TextBlock", "text": text, "wrap": True},
    ]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": lines}
    about = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [about]}


def _post(url: str, body: dict[str, object]) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=WAIT):
            return
    except HTTPError as error:
        error.close()
        raise Undelivered(f"it answered {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        raise Undelivered(first_line(reason if isinstance(reason, OSError) else error)) from None


def _link() -> str:
    """Where the run is in Prefect's UI, on a server that stays."""
    from prefect.runtime import flow_run
    from prefect.utilities.urls import url_for

    if not (os.environ.get("PREFECT_API_URL") and flow_run.id):
        return ""
    return f"\n{url_for('flow-run', flow_run.id)}"  # flow_run.ui_url is an address of older servers


def _sent(root: Path) -> list[str]:
    held = optional_json(root / SENT)
    return [str(one) for one in held.get("sent", [])] if isinstance(held, dict) else []
