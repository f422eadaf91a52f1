"""What a service looks like when it is written straight after BentoML's introduction: the same package in a class.

One row is answered on the loop, which is BentoML's quicker way; a batch in its threads, so that the loop stays free.
"""

import os
from typing import Any

import bentoml

from tasks.bundle import Bundle
from tasks.bundle.rows import from_json


@bentoml.service(http={"host": "127.0.0.1"})
class Plain:
    def __init__(self) -> None:
        self.bundle = Bundle.load(os.environ["REFIT_PACKAGE"]).start()
        self.fields = self.bundle.schema.fields

    def answer(self, found: Any) -> dict[str, Any]:
        return {"probability": found.scores[1], "decision": self.bundle.label(found.decision)}

    @bentoml.api
    async def predict(self, row: dict) -> dict:
        return self.answer(self.bundle.predict_row(from_json(row, self.fields)))

    @bentoml.api
    def predict_batch(self, rows: list[dict]) -> list[dict]:
        return [self.answer(a) for a in self.bundle.predict_rows([from_json(row, self.fields) for row in rows])]
