"""The ``refit`` command. Nothing heavy is imported until a command needs it: ``refit --help`` is instant."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

from flows import stops

if __name__ == "__main__" or Path(sys.argv[0]).name == "refit":
    stops.first()  # before anything else is imported

from collections.abc import Callable
from enum import StrEnum
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from flows.display import say
from flows.screen import waiting
from tasks.errors import RefitError
from tasks.process import settle

if TYPE_CHECKING:
    from flows.standing import Standing
    from tasks.params import Params
    from tasks.registry.history import Decision

P = ParamSpec("P")
# What several commands take.
RowsFile = Annotated[Path, typer.Argument(help="CSV or Parquet, also packed (.gz): rows of the problem's table.")]
AnsweredBy = Annotated[str | None, typer.Option(help="Version that answers. [the champion]")]
Sha256 = Annotated[
    str | None, typer.Option(help="What the package must be: the SHA-256 of its bundle.json. [as the history has it]")
]
NAME, COMPLETE = "refit", "_REFIT_COMPLETE"  # and what a shell sets to ask for completions
DRIFTED = 3  # exit status of a run that found drift, with monitoring.alarm: exit
DIRECT = ("run_command", "predict", "follow_command")  # say at once what they do, or write to the screen by themselves
_RIGHTS = "Change its owner or permissions, or work in another folder."
_ROOM = "Make room on the disk, or work on another one."
MENDED = {errno.EROFS: _RIGHTS, errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS, errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM}
UNANSWERED = (
    4  # of a prediction in which rows have an error instead of an answer, of a stream in which lines were refused
)


class Shell(StrEnum):
    """Shells that can complete commands."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Refit keeps a model fresh: retrain, compare, promote, serve, and undo.",
    epilog="Example: refit init --data houses.csv --target price && refit run && refit serve",
)


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """End a command on a user's mistake with its message and code 1, on a signal with 128 and its number; no traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        settle()
        if command.__name__ != "serve":  # the service has an end of its own
            stops.heed(stops.raise_stopped)
        if command.__name__ not in DIRECT:
            waiting.begin(command.__name__.removesuffix("_command").replace("_", "-"))
        try:
            command(*args, **kwargs)
        except RefitError as error:
            say(f"error: {error}", sys.stderr)
            raise SystemExit(1) from None
        except OSError as error:
            if error.errno not in MENDED:
                raise
            say(f"error: {error.filename or Path.cwd()}: {error.strerror}. {MENDED[error.errno]}", sys.stderr)
            raise SystemExit(1) from None
        except KeyboardInterrupt as stop:
            say(stops.SAID, sys.stderr)
            raise SystemExit(getattr(stop, "status", 130)) from None
        finally:
            waiting.end()
            _no_last_escape()

    return run


def _no_last_escape() -> None:
    """DVC has colorama write an escape sequence at the end of every process that has loaded it; there is nothing to reset."""
    if (colorama := sys.modules.get("colorama.initialise")) is not None:
        import atexit

        atexit.unregister(colorama.reset_all)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from tasks.extras import DISTRIBUTION

        say(f"refit {version(DISTRIBUTION)} (Python {sys.version.split()[0]})")
        raise typer.Exit


def _completion(shell: Shell | None) -> None:
    if shell is not None:
        from typer.completion import get_completion_script

        print(get_completion_script(prog_name=NAME, complete_var=COMPLETE, shell=shell), flush=True)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which Refit this is.", callback=_version, is_eager=True)
    ] = False,
    completion: Annotated[
        Shell | None,
        typer.Option(help="Print what has a shell complete commands.", callback=_completion, is_eager=True),
    ] = None,
) -> None:
    """What goes before a command; its help is that of the whole."""


@app.command("run", epilog="Example: refit run --as-of 2013-11-30")
@plainly
def run_command(
    as_of: Annotated[
        str | None, typer.Option(help="Use only what was known then: a date (its end) or an ISO time. [data.as_of]")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="One line an event instead of a live display.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only say what would run, why, and what it took last time.")
    ] = False,
) -> None:
    """Bring every stage up to date; then track, register, check and, if the verdict says so, promote."""
    from flows.display import Display, drifted, summary
    from flows.screen import columns

    root = Path.cwd()
    if explain:
        from flows import outlook, preflight

        for line in outlook.outlook(root, preflight.require(root, as_of), as_of).lines():
            say(line)
        return

    def work() -> tuple[Params, Standing | None]:
        with display:
            display.doing("looking at params.yaml, the tables and what changed")
            from flows import preflight

            params = preflight.require(root, as_of)  # what is wrong is told at once, before Prefect starts
            from flows.run import run

            return params, run(root, as_of, display)

    display = Display(plain)
    params, standing = stops.attended(work, display.close)
    params = display.params or params
    say(summary(root, params, standing, display.outcomes, display.notes, columns() if display.live else None))
    if params.monitoring.alarm == "exit" and drifted(root):
        raise SystemExit(DRIFTED)


@app.command(epilog="Example: refit backfill --from 2026-10-05 --to 2026-11-02 --every 7d")
@plainly
def backfill(
    begin: Annotated[str, typer.Option("--from", help="First moment: a date (its end) or an ISO time.")],
    end: Annotated[str, typer.Option("--to", help="No moment after this one.")],
    every: Annotated[str, typer.Option(help="From moment to moment, such as 7d or 12h.")] = "7d",
    plain: Annotated[bool, typer.Option("--plain", help="One line an event instead of a live display.")] = False,
) -> None:
    """Run once for each moment that was missed, in order, as if it had been run then."""
    from flows import backfill as backfills
    from flows.display import Display, summary
    from flows.run import run

    root = Path.cwd()
    moments = backfills.moments(begin, end, every)
    backfills.check(root, moments)
    for number, as_of in enumerate(moments, 1):
        say(f"{as_of:%Y-%m-%d %H:%M} UTC ({number} of {len(moments)})")
        with Display(plain or not sys.stdout.isatty()) as display:
            standing = stops.attended(partial(run, root, as_of.isoformat(), display), display.close)
        assert display.params is not None
        say(summary(root, display.params, standing, display.outcomes, display.notes))
    if _alarmed(root):
        raise SystemExit(DRIFTED)


@app.command(epilog="Example: refit status --json")
@plainly
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show how the project stands: champion, last verdict, drift, next schedule, and what a run would do."""
    import json
    import shutil

    from flows.status import Status, lines

    found = Status(Path.cwd())
    if as_json:
        say(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    for line in lines(found.rows(), shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        say(line)


@app.command(epilog='Example: refit deploy --cron "0 5 * * 1"')
@plainly
def deploy(
    cron: Annotated[
        str | None, typer.Option(help="When: minute, hour, day, month, day of the week. [prefect.yaml's, or 0 5 * * 1]")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of the cron line. [UTC]")] = None,
    pool: Annotated[str | None, typer.Option(help="Work pool, made if it is not there. [refit-NAME]")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the name over from another folder.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the project off the server.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Only write prefect.yaml, for `prefect deploy`.")] = False,
) -> None:
    """Have the Prefect server of PREFECT_API_URL run this project by itself, and put champions back from its UI."""
    from flows import deployments

    if remove + replace + write > 1:
        raise RefitError("refit deploy: --replace, --remove and --write do different things; give one of them.")
    root = Path.cwd()
    if remove:
        say(deployments.remove(root))
        return
    for line in deployments.deploy(root, cron, timezone, pool, replace, write):
        say(line)


@app.command(epilog="Example: refit serve --port 3001")
@plainly
def serve(
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [serving.port]")] = None,
    package: Annotated[Path | None, typer.Option(help="Serve this package's folder instead of the champion.")] = None,
    sha256: Sha256 = None,
) -> None:
    """Serve the champion (or a package) over HTTP until stopped."""
    from flows.champions import to_serve
    from flows.versions import vouched
    from tasks.errors import RefitError
    from tasks.journal import journal_url
    from tasks.params import load

    params = load()
    if package is not None:
        version, digest = vouched(Path.cwd(), package, sha256)
    elif sha256 is not None:
        raise RefitError("--sha256: says what a package's folder must hold, so it needs --package DIR as well")
    else:
        package, version, digest = to_serve(Path.cwd(), params.problem.name)
    say(f"loading {params.problem.name}, version {version} ...")
    from deploy.serve import serve as start

    serving = params.serving
    start(
        package, version, serving.host, serving.port if port is None else port, serving.workers,
        sha256=digest, stale=serving.stale, stale_after=serving.stale_after, linger=serving.linger, grace=serving.grace,
        limits=serving.limits, journal=journal_url() if serving.journal else None,
    )  # fmt: skip


@app.command(epilog="Example: refit predict october.csv --out answers.parquet")
@plainly
def predict(
    file: RowsFile,
    version: AnsweredBy = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write: .csv, .csv.gz or .parquet. [CSV on standard output]")
    ] = None,
    package: Annotated[
        Path | None, typer.Option(help="Answer by this package's folder and its own history, without a project.")
    ] = None,
    sha256: Sha256 = None,
) -> None:
    """Answer every row of a file, in its order; rows that cannot be read have an error (exit status 4)."""
    from flows.predict import answering
    from flows.predict import predict as answer

    answered = answer(answering(Path.cwd(), version, package, sha256), file, out)
    for line in answered.lines():
        print(line, file=sys.stderr)
    if answered.unanswered:
        raise SystemExit(UNANSWERED)


@app.command(epilog="Example: refit explain october.csv --row 17")
@plainly
def explain(
    file: RowsFile,
    row: Annotated[list[int], typer.Option(help="Number of the row, from 1; may be repeated.")],
    version: AnsweredBy = None,
    package: Annotated[
        Path | None, typer.Option(help="Explain this package's folder by its own history, without a project.")
    ] = None,
    sha256: Sha256 = None,
) -> None:
    """Say why the champion answers a row as it does: what each of its values changes."""
    from flows.explain import explain as reasons
    from flows.predict import answering

    for one in reasons(answering(Path.cwd(), version, package, sha256), file, row):
        for line in one.lines():
            say(line)


@app.command(epilog="Example: refit init --data houses.parquet --target price")
@plainly
def init(
    data: Annotated[
        list[str] | None,
        typer.Option(help="CSV or Parquet: a file, folder or glob; or a database's URL. Several tables: say it again."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    table: Annotated[
        str | None, typer.Option(help="The table whose rows are predicted. [the one that has the target]")
    ] = None,
    query: Annotated[str | None, typer.Option(help="Of a database: a SELECT, or a table's name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing params.yaml.")] = False,
    example: Annotated[
        str | None, typer.Option(help="Write a worked project with data of its own instead: two-tables.")
    ] = None,
    weeks: Annotated[int | None, typer.Option(help="Of an example: weeks of data to begin with. [26]")] = None,
) -> None:
    """Write a params.yaml for your tables, and make the folder a project."""
    from flows.examples import example as worked
    from flows.project import create

    if example is None and weeks is not None:
        raise RefitError("--weeks: belongs to --example two-tables; leave it out")
    if example is not None and (data or target or query or table or force):
        raise RefitError("--example: has its own data; leave --data, --target, --table, --query and --force out")
    root = Path.cwd()
    for line in worked(root, example, weeks) if example else create(root, data or [], target, force, query, table):
        say(_folded(line))


@app.command("sources", epilog="Example: refit sources")
@plainly
def sources_command() -> None:
    """Have dvc.yaml name every source of params.yaml, and take the snapshots of databases and the journal again."""
    from flows import carried, sources
    from tasks.params import load

    root = Path.cwd()
    params = load(root / "params.yaml")
    for line in [*sources.list_sources(root, params), *sources.take(root, params)]:
        say(line)
    if sources.queries(params):
        carried.carry_in(root)
    for name, paths in sources.watched(params, root).items():
        say(f"{name}: {', '.join(paths) or 'comes with a package'}")


@app.command(epilog="Example: refit doctor")
@plainly
def doctor() -> None:
    """Say what is missing or wrong on this machine, and how to mend it."""
    from flows.doctor import examine

    findings = examine(Path.cwd())
    for finding in findings:
        say(finding.line())
    raise SystemExit(0 if all(f.good or not f.needed for f in findings) else 1)


@app.command(epilog='Example: refit accept --reason "distances are in miles from this week on"')
@plainly
def accept(
    reason: Annotated[str, typer.Option(help="Why the rows are right; kept with them.")],
    table: Annotated[list[str] | None, typer.Option(help="Only of this table; may be repeated. [all refused]")] = None,
) -> None:
    """Accept the tables that the latest run refused: they are what later rows are held against."""
    from flows import accepted

    names = accepted.accept(Path.cwd(), _model(), reason, table or [])
    say(
        f"accepted: {', '.join(names)} (written to {accepted.ACCEPTED}; commit it); `refit run` goes on with these rows"
    )


@app.command(epilog='Example: refit promote 3 --reason "fewer late alarms in week 44"')
@plainly
def promote(
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")],
    version: Annotated[str | None, typer.Argument(help="Version to promote. [the newest that is not champion]")] = None,
) -> None:
    """Make a version champion by hand; its package is booted and checked first."""
    from deploy.check import check
    from flows import hand

    _to_write()
    made = hand.promote(Path.cwd(), _model(), version, reason, check)
    say(_outcome(made, reason, f"version {made.version} is champion (before: {made.previous or 'none'})"))
    for line in hand.suspected(Path.cwd(), made):
        say(line)


@app.command(epilog='Example: refit rollback --reason "complaints since Monday"')
@plainly
def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")],
    to: Annotated[str | None, typer.Option(help="Version to go back to. [the champion before this one]")] = None,
) -> None:
    """Put an earlier champion back."""
    from flows import hand

    _to_write()
    made = hand.rollback(Path.cwd(), _model(), to, reason)
    say(_outcome(made, reason, f"version {made.version} is champion again (before: {made.previous})"))


@app.command(epilog='Example: refit adopt --reason "moved to a machine of our own"')
@plainly
def adopt(
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")],
    version: Annotated[
        str | None, typer.Argument(help="Version, or digits of its package's hash. [the registry's or data/champion's]")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Begin without a champion instead.")] = False,
) -> None:
    """Take a champion that this history does not know over into it; its package is booted and checked first."""
    from deploy.check import check
    from flows import hand

    _to_write()
    if none:
        if version is not None:
            raise RefitError(f"--none: begins without a champion; found a version too ({version!r}). Leave one out.")
        hand.adopt_nothing(Path.cwd(), _model(), reason)
        say("there is no champion in this history; `refit run` judges the next model as a first one")
        return
    made = hand.adopt(Path.cwd(), _model(), version, reason, check)
    about = made.evidence.get("adopted", {"from": "", "looks": 0})
    sentence = f"version {made.version} is champion here, as adopted ({about['from']}; earlier looks: {about['looks']})"
    say(_outcome(made, reason, sentence))


def _outcome(made: Decision, reason: str, sentence: str) -> str:
    """Whose decision made the champion: this one, or an earlier one that came to the same."""
    if made.reason == reason.strip():
        return sentence
    return f"version {made.champion} is champion already (since {made.at[:19]} UTC, by {made.by}: {made.reason})"


@app.command(epilog="Example: refit history --at 2026-11-02T09:00:00")
@plainly
def history(
    at: Annotated[str | None, typer.Option(help="Only say which version was champion at this moment (UTC).")] = None,
) -> None:
    """Show every decision: which version was champion when, why, and who or what decided."""
    from flows.context import moment
    from flows.display import decisions
    from tasks.registry.history import DecisionHistory

    book, model = DecisionHistory(Path.cwd()), _model()
    if at is None:
        say(decisions(book.decisions(model)))
        return
    champion = book.champion(model, moment(at))
    say(f"version {champion.champion} (since {champion.at[:19]}: {champion.reason})" if champion else "no champion")


@app.command(epilog="Example: refit verify 3 --rebuild")
@plainly
def verify(
    version: Annotated[str, typer.Argument(help="Version to verify.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the package again and compare every byte.")] = False,
) -> None:
    """Check a version's package against its receipt: data, code, parameters, lock and seeds."""
    from flows.verify import verify as examine

    good, lines = examine(Path.cwd(), _model(), version, rebuild)
    for line in lines:
        say(line)
    raise SystemExit(0 if good else 1)


@app.command("prove-time", epilog="Example: refit prove-time")
@plainly
def prove_time() -> None:
    """Check on your own tables that no feature uses anything that was not known at its row's prediction time."""
    from tasks.engine.prove import from_files

    findings = from_files()
    say(str(findings))
    raise SystemExit(0 if findings.ok else 1)


@app.command(epilog="Example: refit report 2 3")
@plainly
def report(
    versions: Annotated[list[str] | None, typer.Argument(help="Versions to compare. [the newest run's report]")] = None,
    every: Annotated[bool, typer.Option("--all", help="A page over all runs: champions, verdicts, drift.")] = False,
) -> None:
    """Say where the newest run's report is, or write a page that compares versions, or one over all runs."""
    from flows import reports
    from tasks.params import load

    root = Path.cwd()
    if every and versions:
        raise RefitError("refit report: name versions to compare, or --all, not both.")
    if every:
        lines = reports.everything(root, load())
    else:
        lines = reports.compare(root, load(), versions) if versions else iter([reports.newest(root)])
    for line in lines:
        say(line)


events_app = typer.Typer(no_args_is_help=True, help="Tell what happened: events of tables, kept in the journal.")
journal_app = typer.Typer(invoke_without_command=True)
app.add_typer(events_app, name="events")
app.add_typer(journal_app, name="journal")
TableName = Annotated[str, typer.Option("--table", help="The table of params.yaml whose rows these are.")]


@events_app.command("import", epilog="Example: refit events import october.csv --table orders")
@plainly
def import_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines (.jsonl), also packed (.gz).")],
    table: TableName,
    known: Annotated[
        str, typer.Option(help="given: a row counts from when its columns say; receipt: not before now.")
    ] = "given",
) -> None:
    """Keep every row of a file as an event, or none; the same file again changes nothing."""
    from flows.journal import import_file

    for line in import_file(Path.cwd(), file, table, known).lines():
        say(line)


@events_app.command("follow", epilog="Example: stream-client | refit events follow --table orders")
@plainly
def follow_command(
    table: TableName,
    source: Annotated[
        str | None, typer.Option(help="Names the stream, whose position is kept. [the table's name]")
    ] = None,
) -> None:
    """Keep lines of JSON from standard input as events, as they come; their field `offset` says where to go on."""
    from flows.journal import Stream, follow

    stream = Stream(sys.stdin.fileno())
    stops.heed(stream.stop)
    followed = follow(Path.cwd(), table, source, stream, lambda line: say(line, sys.stderr))
    say(followed.line())
    if followed.wrong:
        raise SystemExit(UNANSWERED)


@journal_app.callback(epilog="Example: refit journal --json")
@plainly
def journal_command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show what the journal has: events by table, predictions by version, since when, and what was erased."""
    import json

    if context.invoked_subcommand is not None:
        return
    from flows.journal import about, lines

    found = about(Path.cwd())
    for line in [json.dumps(found, indent=2, ensure_ascii=False)] if as_json else lines(found):
        say(line)


@journal_app.command("backup", epilog="Example: refit journal backup journal-2026-11-27.db")
@plainly
def backup_command(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
) -> None:
    """Copy the journal while it is written to. The copy is a journal: put it in its place to go back to it."""
    from flows.journal import backup

    say(backup(Path.cwd(), file))


@journal_app.command(
    "erase", epilog="Example: refit journal erase --table orders --key 17 --reason 'asked to be forgotten'"
)
@plainly
def erase_command(
    table: TableName,
    key: Annotated[str, typer.Option(help="The row's key as JSON.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")],
) -> None:
    """Blank every event of a row, and predictions of it; their places in the journal stay, with who did it and why."""
    from flows.journal import erase

    say(erase(Path.cwd(), table, key, reason))


@app.command("params", epilog="Example: refit params tuning")
@plainly
def params_command(
    key: Annotated[str | None, typer.Argument(help="A key or section, as in tuning.goals. [all]")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page, as in docs/params.md.")] = False,
) -> None:
    """List the keys of params.yaml: what may stand there, what counts without it, and what it does."""
    import shutil

    from flows import keys

    if markdown:
        say(keys.page().rstrip())
        return
    for line in keys.listed(key, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        say(line)


@app.command("schema", epilog="Example: refit schema > params.schema.json")
@plainly
def schema_command() -> None:
    """Print the JSON Schema of params.yaml, by which editors complete and check it."""
    from flows import keys

    say(keys.text().rstrip())


def _folded(line: str) -> str:
    """A line, on a terminal folded with its text hanging below its beginning; a pipe gets it whole."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or len(line) <= width:
        return line
    at = re.match(r" *\d+  |", line)
    return textwrap.fill(line, width, subsequent_indent=" " * (at.end() if at else 0), break_on_hyphens=False)


def _alarmed(root: Path) -> bool:
    """Whether the newest run found drift that is to end a command with a status of its own."""
    from flows.display import drifted
    from tasks.params import load

    return load(root / "params.yaml").monitoring.alarm == "exit" and drifted(root)


def _to_write() -> None:
    from flows.preflight.folder import to_write

    to_write(Path.cwd())


def _model() -> str:
    from tasks.params import load

    return load().problem.name


def main() -> None:
    """Entry point of the ``refit`` script."""
    os.environ.setdefault("PYTHONUTF8", "1")
    if COMPLETE in os.environ:  # a shell asks
        from typer.completion import completion_init

        completion_init()
    app(prog_name=NAME)


if __name__ == "__main__":
    main()
