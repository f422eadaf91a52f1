"""The quickest service that is written in a few lines: the same package behind FastAPI, under uvicorn with its fast parts.

One row is answered on the loop; a batch in a thread of FastAPI's pool.
"""

import gc
import os
from typing import Any

from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse

from tasks.bundle import Bundle
from tasks.bundle.rows import from_json

app = FastAPI()
BUNDLE = Bundle.load(os.environ["REFIT_PACKAGE"]).start()
FIELDS = BUNDLE.schema.fields
gc.collect()
gc.freeze()


def answer(found: Any) -> dict[str, Any]:
    return {"probability": found.scores[1], "decision": BUNDLE.label(found.decision)}


@app.get("/readyz")
async def ready() -> JSONResponse:
    return JSONResponse({})


@app.post("/predict")
async def predict(row: dict[str, Any] = Body()) -> JSONResponse:  # noqa: B008  (FastAPI's way)
    return JSONResponse(answer(BUNDLE.predict_row(from_json(row, FIELDS))))


@app.post("/predict_batch")
def predict_batch(rows: list[dict[str, Any]] = Body()) -> JSONResponse:  # noqa: B008
    return JSONResponse([answer(a) for a in BUNDLE.predict_rows([from_json(row, FIELDS) for row in rows])])
