"""The service's own page: which model this is, and how to ask it. It loads nothing from anywhere."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from tasks.artifacts import Schema

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
    "pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}a{color:#8bf}}"
)
SAMPLES = {
    "numeric": 1.5,
    "categorical": "a",
    "text": "some words",
    "boolean": True,
    "datetime": "2026-01-31T18:00:00Z",
}


def page(about: Mapping[str, object], kind: str, classes: tuple[str, ...], schema: Schema, most: int) -> str:
    """One page of HTML.

    Parameters
    ----------
    about
        ``model``, ``version``, ``package`` and whatever else every answer carries.
    kind, classes
        Of the problem.
    schema
        The package's ``schema.json``.
    most
        The greatest number of rows in one batch.
    """
    shown = {**about, "kind": kind, **({"classes": ", ".join(classes)} if classes else {})}
    lines = "".join(f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in shown.items())
    fields = "".join(
        f"<tr><td>{_text(f.name)}</td><td>{_text(f.kind)}</td><td>{'may be null' if f.nullable else ''}</td></tr>"
        for f in schema.fields
    )
    row = {f.name: f.allowed[0] if f.allowed else SAMPLES[f.kind] for f in schema.fields}
    ask = json.dumps(row, ensure_ascii=False)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(about["model"])}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style><h1>{_text(about['model'])}</h1><table>{lines}</table>"
        f"<h2>Asking</h2><p><code>POST /predict</code> takes one row as JSON, <code>POST /predict_batch</code> a list of "
        f"up to {most:,}.</p><pre>{_text(ask)}</pre>"
        f"<h2>Fields of a row</h2><table>{fields}</table>"
        '<h2>More</h2><p><a href="/schema">schema</a> · <a href="/openapi.json">OpenAPI</a> · '
        '<a href="/readyz">ready</a> · <a href="/healthz">alive</a> · <a href="/metrics">metrics</a></p></html>\n'
    )


def _text(value: object) -> str:
    return html.escape(str(value))
