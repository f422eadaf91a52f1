"""Messages about failures, verdicts and alarms: to whom, in which form, each once. The addresses are real servers on this machine."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import notify
from flows.commands import Cancelled
from flows.standing import Standing
from flows.watcher import Watcher
from tasks.errors import RefitError
from tasks.files import read_json, write_json
from tasks.params import Params, load
from tests.flows.project import PARAMS
from tests.flows.webhook import Webhook, served
from tests.samples import drift

HOOK = "notify: {to: [HOOK]}\n"
STANDING = Standing("2", "1", "Keep version 1: too few rows.")


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    server = Webhook()
    monkeypatch.setenv("HOOK", server.url)
    with served(server):
        yield server


def project(root: Path, text: str = HOOK) -> Params:
    """A project whose run came to a verdict and found drift."""
    (root / "params.yaml").write_text(PARAMS + text)
    write_json(root / "data" / "verdict" / "verdict.json", {"verdict": "keep", "sentence": STANDING.sentence})
    drift(True).write(root / "data" / "drift")
    return load(root / "params.yaml")


def test_a_webhook_gets_each_message_once(tmp_path: Path, webhook: Webhook) -> None:
    params, notes = project(tmp_path), Notes()
    for _ in range(2):  # a repeated run
        notify.conclude(tmp_path, params, STANDING, notes)
    assert [str(body["text"]).splitlines()[0] for body in webhook.got] == [
        "*toy: keep*",
        "*toy: the data have drifted*",
    ]
    assert webhook.got[0] == {"text": f"*toy: keep*\n{STANDING.sentence}\nThis run: version 2; champion: version 1."}
    assert notes.lines == []
    notify.conclude(tmp_path, params, Standing("3", "1", STANDING.sentence), notes)
    assert len(webhook.got) == 3  # another version is another verdict
    assert "secret" not in (tmp_path / notify.SENT).read_text()


def test_only_what_was_asked_for_is_told(tmp_path: Path, webhook: Webhook) -> None:
    params = project(tmp_path, "notify: {when: [alarm], to: [HOOK]}\n")
    notify.conclude(tmp_path, params, STANDING, Notes())
    with pytest.raises(RefitError), notify.failures(tmp_path, None, Notes()):
        raise RefitError("no rows")
    assert [str(body["text"]).splitlines()[0] for body in webhook.got] == ["*toy: the data have drifted*"]


def test_a_failure_is_told_once_until_a_run_goes_well(tmp_path: Path, webhook: Webhook) -> None:
    params = project(tmp_path, "notify: {when: [failure], to: [HOOK]}\n")

    def fail(error: Exception, as_of: str | None = None) -> int:
        with pytest.raises(type(error), match=str(error)), notify.failures(tmp_path, as_of, Notes()):
            raise error
        return len(webhook.got)

    assert [fail(RefitError("no rows")), fail(RefitError("no rows"))] == [1, 1]
    assert webhook.got[0] == {"text": "*toy: the run failed*\nno rows"}
    assert fail(RefitError("no rows"), "2026-11-02") == 2  # another week
    assert fail(Cancelled("stopped")) == 2  # somebody stopped it
    notify.conclude(tmp_path, params, None, Notes())
    assert fail(RefitError("no rows")) == 3


def test_what_did_not_arrive_is_told_and_sent_by_the_next_run(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, notes = project(tmp_path, "notify: {when: [verdict], to: [HOOK, LOST]}\n"), Notes()
    webhook.code = 503
    notify.conclude(tmp_path, params, STANDING, notes)
    assert notes.lines == [
        "notify.to: HOOK was not told of the verdict: it answered 503",
        "notify.to: LOST was not told of the verdict: LOST is not set in the environment of this run",
    ]
    webhook.code = 200
    monkeypatch.setenv("LOST", "http://127.0.0.1:9/nobody")
    notes.lines.clear()
    notify.conclude(tmp_path, params, STANDING, notes)
    assert "refused" in notes.lines[0]
    assert len(webhook.got) == 1
    monkeypatch.setenv("LOST", "pigeon")
    notes.lines.clear()
    notify.conclude(tmp_path, params, STANDING, notes)
    assert len(webhook.got) == 1
    assert notes.lines == [
        "notify.to: LOST was not told of the verdict: its address is neither https:// nor one that apprise knows"
    ]


def test_a_message_goes_by_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                    mails.append("\n".join(lines))
                self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
                if line.upper() == "QUIT":
                    return

    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as server:
        port = server.server_address[1]
        monkeypatch.setenv("HOOK", f"mailto://127.0.0.1:{port}?from=refit@example.org&to=team@example.org&format=text")
        params, notes = project(tmp_path, "notify: {when: [verdict], to: [HOOK]}\n"), Notes()
        with served(server):
            notify.conclude(tmp_path, params, STANDING, notes)
    assert notes.lines == []
    (mail,) = mails
    assert "Subject: toy: keep" in mail
    assert "team@example.org" in mail


def test_a_workflow_of_teams_gets_a_card() -> None:
    made = notify.form("https://prod-1.westus.logic.azure.com:443/workflows/x", "toy: keep", "Too few rows.")
    (card,) = made["attachments"]  # type: ignore[misc]
    assert [line["text"] for line in card["content"]["body"]] == ["toy: keep", "Too few rows."]
    assert notify.form("https://hooks.example.org/x", "a", "b") == {"text": "*a*\nb"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('notify: {to: ["https://hooks.slack.com/services/T0/B0/secret"]}\n', "notify.to"),
        ("notify: {when: [verdict]}\n", "notify.when: counts only with to"),
        ("notify: {when: [party], to: [log]}\n", "notify.when"),
    ],
)
def test_addresses_stay_out_of_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RefitError, match=said):
        project(tmp_path, text)


def test_the_file_of_what_was_sent_is_bounded(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "KEPT", 2)
    params = project(tmp_path)
    for version in "345":
        notify.tell(tmp_path, params, Notes(), "verdict", version, "toy: keep", "")
    assert len(read_json(tmp_path / notify.SENT)["sent"]) == 2
