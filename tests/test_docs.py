"""Every command of the pages in docs/ is run by some test; every variable of the environment is on its page."""

import re

import pytest

from tests.projects import ROOT

# Where each command is run, and what in that file says so.
RUN = {
    "mlflow.md": {
        "mlflow ui --backend-store-uri sqlite:///.refit/mlflow.db": (
            "tests/tasks/registry/test_ui.py",
            '["ui", "--backend-store-uri"',
        ),
    },
    "ending.md": {
        "refit run": ("tests/flows/test_stops.py", '"run"'),
        "refit doctor": ("tests/flows/test_preflight.py", "doctor.examine(root)"),
    },
    "runs.md": {
        "refit run": ("tests/flows/test_run.py", '"run"'),
        "refit run --explain": ("tests/flows/conftest.py", '"run", "--explain"'),
        "dvc repro": ("tests/flows/test_seal.py", '"repro"'),
        "python -m tasks.code": ("tests/tasks/test_code.py", '"tasks.code"'),
        'eval "$(refit --completion bash)"': ("tests/flows/test_cli.py", "--completion bash"),
    },
    "schedule.md": {
        "refit init --data parcels.csv --target late": (
            "tests/flows/test_weeks.py",
            '"init", "--data", "parcels.csv", "--target", "late"',
        ),
        "prefect server start": ("tests/flows/conftest.py", '"server", "start"'),
        'refit deploy --cron "0 5 * * 1"': ("tests/flows/test_weeks.py", '"deploy", "--cron"'),
        "prefect worker start --pool refit-late --work-queue late": (
            "tests/flows/test_weeks.py",
            'f"prefect {command}" == "prefect worker start --pool refit-late --work-queue late"',
        ),
        "prefect worker start --pool refit-late --work-queue late --type process": (
            "tests/flows/test_planned.py",
            "prefect worker start --pool small --type process",
        ),
        "prefect deploy --all": ("tests/flows/test_schedule.py", '"prefect", "deploy", "--all"'),
        "refit deploy --remove": ("tests/flows/test_weeks.py", '"deploy", "--remove"'),
        "refit backfill --from 2026-10-05 --to 2026-10-20 --every 7d": (
            "tests/flows/test_backfill.py",
            '"backfill", "--from", "2026-10-05", "--to", "2026-10-20", "--every", "7d"',
        ),
    },
    "served.md": {
        "refit serve --port 0": ("tests/deploy/test_serve.py", "port=0"),
        "refit serve --package data/package --sha256 HEX": (
            "tests/flows/test_champion.py",
            '"--package", "data/package", "--sha256"',
        ),
    },
    "live.md": {"refit serve": ("tests/deploy/test_serve.py", "serve(package=")},
    "pressure.md": {
        "python -m deploy.build --version 1": ("tests/deploy/conftest.py", '"deploy.build", "--version", "1"')
    },
    "predict.md": {
        "refit predict new.csv --out answers.parquet": ("tests/flows/test_predict.py", '"predict", new, "--out"'),
        "refit predict new.csv.gz --version 1": ("tests/flows/test_predict.py", '"--version", "1"'),
        "refit predict new.parquet --package folder --sha256 HEX --out answers.csv.gz": (
            "tests/flows/test_predict.py",
            '"--sha256"',
        ),
    },
    "explanations.md": {
        "refit explain new.csv --row 17": ("tests/flows/test_predict.py", '"explain", new, "--row", "17"'),
    },
    "machines.md": {  # that test takes its commands from the page
        command: ("tests/flows/test_machines.py", words)
        for command, words in {
            "dvc remote add -d -f store /mnt/shared/store": 'command("dvc remote add"',
            'git commit -q -a -m "the remote that our machines share"': 'command("git commit")',
            "git push -q": 'command("git push")',
            "prefect work-pool create machines --type process": 'command("prefect work-pool")',
            "git clone -q https://git.example/shop.git shop": 'command("git clone"',
            "cd shop && REFIT_CHECKOUT=$PWD REFIT_STUDIES_URL=postgresql://refit@db.example/refit prefect worker start --pool machines --limit 1": (
                'command("cd shop &&"'
            ),
            "refit run": '[*REFIT, "run", "--plain"]',
            "dvc pull -q features": 'command("dvc pull")',
            "python -m tasks.tune random_forest": 'command("python -m")',
        }.items()
    },
    "report.md": {
        "refit report 2 3": ("tests/flows/test_run.py", '"report", "1", "2"'),
        "refit report --all": ("tests/flows/test_run.py", '"report", "--all"'),
    },
    "init.md": {
        "refit init --data orders.csv --target refunded": (
            "tests/flows/test_labels.py",
            '"orders.csv", "--target", "refunded"',
        ),
        "refit init --data orders.csv --data customers.csv --data visits.csv --target refunded": (
            "tests/flows/test_init.py",
            '"--data", "customers.csv", "--data", "visits.csv"',
        ),
        "refit init --example two-tables": ("tests/flows/test_tutorial.py", 'told("refit init --example two-tables")'),
    },
    "labels.md": {"refit run": ("tests/flows/test_labels.py", '"run"')},
    "sources.md": {
        'refit init --data "weekly/*.csv" --target target': (
            "tests/flows/test_sources.py",
            '"init", "--data", "weekly/*.csv"',
        ),
        "refit sources": ("tests/flows/test_sources.py", 'refit(tmp_path, "sources")'),
    },
}


PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
WHOLE = {
    "champion.md": "tests/flows/test_champion.py",
    "dvc.md": "tests/flows/test_dvc.py",
    "tutorial.md": "tests/flows/test_tutorial.py",
}  # a test that takes all its commands from the page


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_is_run_by_a_test(page: str) -> None:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    if page in WHOLE:
        assert commands
        assert page in (ROOT / WHOLE[page]).read_text()
        return
    assert sorted(commands) == sorted(RUN.get(page, {}))
    for file, words in RUN.get(page, {}).values():
        assert words in (ROOT / file).read_text(), (file, words)


def test_every_variable_that_is_read_is_on_the_page_and_the_other_way_round() -> None:
    def named(text: str) -> set[str]:
        return set(re.findall(r"\bREFIT_[A-Z0-9_]*[A-Z0-9]\b", text))

    files = [
        *(
            p
            for part in ("refit", "flows", "deploy", "tasks")
            for p in (ROOT / part).rglob("*")
            if p.suffix in (".py", ".yaml")
        )
    ]
    read = set().union(*(named(file.read_text(encoding="utf-8")) for file in files))
    told = set().union(
        *(named(p.read_text()) for p in [ROOT / "README.md", ROOT / "params.yaml", *(ROOT / "docs").glob("*.md")])
    )
    page = named((ROOT / "docs" / "environment.md").read_text())
    assert page == read
    assert told == read


def test_links_of_all_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for name, anchor in re.findall(r"\]\(([^)#:]*)(#[^)]*)?\)", page.read_text()):
            target = page.parent / name if name else page
            assert target.exists(), (page.name, name)
            if anchor:
                titles = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
                slugs = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor[1:] in slugs, (page.name, name, anchor)
