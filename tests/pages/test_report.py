"""The report in a real browser."""

import pytest

from tests.pages.browser import find, opened

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find() is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def browser():
    with opened() as one:
        yield one


@pytest.fixture(scope="module")
def report(finished):
    return finished / "data/reports/report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_opens_quietly_and_fits(browser, report, width, dark):
    browser.look(report, width=width, height=844, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [report.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    box = browser.run("(({top, bottom}) => [top, bottom])(document.querySelector('.sentence').getBoundingClientRect())")
    assert 0 <= box[0] < box[1] <= 844
    clipped = "[...document.querySelectorAll('figure')].filter(f => f.scrollWidth > f.clientWidth + 1).length"
    assert browser.run(clipped) == 0


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
