"""The report in a real browser."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.all_runs import all_runs
from tasks.kinds import find_kind
from tasks.registry.history import Decision
from tasks.registry.tracking import TrackedRun
from tasks.report.compare_runs import ComparedRun, compare_runs
from tests.pages.browser import find, opened

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find() is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def browser():
    with opened() as one:
        yield one


@pytest.fixture(scope="module")
def report(finished):
    return finished / "data/reports/report.html"


@pytest.fixture(scope="module")
def across(tmp_path_factory):
    """The pages over several runs: a comparison, and all of them."""
    folder = tmp_path_factory.mktemp("across")
    (folder / "compare.html").write_text(comparison(), encoding="utf-8")
    (folder / "all.html").write_text(everything(), encoding="utf-8")
    return folder


def comparison():
    metrics = dict.fromkeys(find_kind("binary").metrics, 0.6)
    spread = {name: [0.5, 0.7] for name in metrics}
    params = {"models.gradient_boosting.learning_rate": 0.1}
    runs = [
        ComparedRun(
            f"Version {i}", metrics, "roc_auc", spread, "gradient_boosting", "2024-01-01T00:00:00+00:00", "keep", 12000,
            {k: v * i for k, v in params.items()}, "the same", champion=i == 3,
        )
        for i in range(1, 9)
    ]  # fmt: skip
    return compare_runs(runs, "orders-late")


def everything():
    decisions, runs = [], []
    for week in range(40):
        at = datetime(2025, 9, 1, 8, 30, tzinfo=UTC) + timedelta(weeks=week)
        action = "rollback" if week == 21 else "promote" if week % 7 == 0 else "keep"
        reason = (
            "Keep the champion for now: on 12,000 unseen rows the challenger's ROC AUC is 0.71, the champion's 0.70."
        )
        measured = {
            "as_of": at.isoformat(),
            "metric": "roc_auc",
            "challenger": 0.7 + week / 1000,
            "champion": 0.7,
            "rows": 12000,
        }
        decisions.append(
            Decision(
                "orders-late", action, str(week), "7" if action == "rollback" else str(week // 7 * 7), f"sha {week}", reason, "someone@a-machine-with-a-long-name",
                str(week), {"measured": measured}, number=week, at=at.isoformat(),
            )
        )  # fmt: skip
        runs.append(
            TrackedRun(
                "r", at.isoformat(), at.isoformat(), "gradient_boosting", "roc_auc", 0.7, (str(week),), week % 9 == 8, week % 9,
                "Drift against the champion in 8 of 12 columns.",
            )
        )  # fmt: skip
    return all_runs("orders-late", decisions, runs, at + timedelta(weeks=1))


# Whatever sticks out of the window though no box around it scrolls; text that its own box cuts off; a chart's words
# outside of its card; and boxes that scroll without saying so.
OUTSIDE = """
(() => {
  const out = [], scrolls = (e) => e.closest('.scroll');
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('#tip') || e.closest('defs')) continue;
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const what = e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent.trim().slice(0, 40);
    if ((box.right > innerWidth + 1 || box.left < -1) && !scrolls(e)) out.push('sticks out: ' + what);
    if (e.tagName === 'text' && !scrolls(e)) {
      const card = e.closest('figure, td').getBoundingClientRect();
      if (box.right > card.right + 1 || box.left < card.left - 1) out.push('leaves its card: ' + what);
    }
    const style = getComputedStyle(e);
    if (style.overflowX === 'visible' && e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !e.closest('svg') && !scrolls(e))
      out.push('spills: ' + what);
  }
  for (const e of document.querySelectorAll('.scroll')) {
    const wide = e.scrollWidth > e.clientWidth + 1, hint = e.previousElementSibling;
    if (wide !== e.classList.contains('fade-right') || wide === hint.hidden) out.push('no cue: ' + e.getAttribute('aria-label'));
  }
  return out;
})()
"""
BEFORE = "(({top, bottom}) => [top, bottom])(document.querySelector('.sentence').getBoundingClientRect())"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_opens_quietly_and_nothing_overflows(browser, reported, kind, width, dark):
    page = reported(kind) / "data/reports/report.html"
    browser.look(page, width=width, height=844, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    top, bottom = browser.run(BEFORE)
    assert 0 <= top < bottom <= 844, "what was decided stands on the first screen"
    assert browser.run(OUTSIDE) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["compare", "all"])
def test_pages_over_several_runs_overflow_nowhere(browser, across, name, width, dark):
    page = across / f"{name}.html"
    browser.look(page, width=width, height=844, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(OUTSIDE) == []


def test_the_first_screen_shows_verdict_change_and_next_step(browser, report):
    """At the size of a usual laptop's window."""
    browser.look(report, width=1400, height=900)
    heads = "[...document.querySelectorAll('.panel h2')].filter(h => h.getBoundingClientRect().top < 860).map(h => h.textContent)"
    seen = browser.run(heads)
    assert {"What changed since version 1", "What happens next", "The trend"} <= set(seen)


def test_a_wide_table_fades_where_there_is_more(browser, report):
    browser.look(report, width=390, height=844)
    wide = "document.querySelector('#candidates .scroll')"
    assert browser.run(f"{wide}.previousElementSibling.textContent") == "More to the right →"
    browser.run(
        f"new Promise(done => {{ {wide}.scrollLeft = 1e6; requestAnimationFrame(() => requestAnimationFrame(done)); }})"
    )
    assert browser.run(f"[...{wide}.classList].sort()") == ["fade-left", "scroll"]


def test_drift_page_needs_no_network(browser, finished):
    page = finished / "data/drift/drift.html"
    browser.look(page)
    assert browser.requests == [page.as_uri()]
    assert not [c for c in browser.complaints if "Error" in c]
    assert "prediction" in browser.run("document.body.innerText")


CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => [r, g, b].map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const style = getComputedStyle(document.documentElement);
  const value = (name) => light(rgb(style.getPropertyValue(name)));
  const out = {};
  for (const back of ['--paper', '--card'])
    for (const front of ['--ink', '--soft', '--accent', '--good', '--warn', '--bad']) {
      const [a, b] = [value(back), value(front)].sort((x, y) => y - x);
      out[front + ' on ' + back] = (a + 0.05) / (b + 0.05);
    }
  return out;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(browser, report, dark):
    """WCAG 2.1, level AA: 4.5 to 1."""
    browser.look(report, dark=dark)
    low = {pair: ratio for pair, ratio in browser.run(CONTRAST).items() if ratio < 4.5}
    assert low == {}


def test_tables_sort_and_search(browser, report):
    browser.look(report)
    column = "[...document.querySelectorAll('#drift table tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent.trim())"
    before = browser.run(column)
    browser.run("document.querySelector('#drift th button').click()")
    assert browser.run(column) == sorted(before, key=str.lower) != before
    field = "document.querySelector('#drift input.search')"
    browser.run(f"{field}.value = 'delay'; {field}.dispatchEvent(new Event('input'))")
    assert browser.run(column) == [c for c in sorted(before, key=str.lower) if "delay" in c]


def test_tooltip_tells_the_value(browser, report):
    browser.look(report)
    said = browser.run(
        "(() => { const c = document.querySelector('#quality circle'); const t = c.querySelector('title').textContent;"
        "c.dispatchEvent(new PointerEvent('pointerover', {bubbles: true, clientX: 200, clientY: 200}));"
        "const tip = document.getElementById('tip'); return [t, tip.textContent, tip.hidden]; })()"
    )
    assert said[0] == said[1]
    assert said[2] is False
