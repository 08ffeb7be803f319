"""Payloads of the built-in handlers, checked again when a job runs.

Submission has checked them with the same models, but a row can be older than the code, or edited and
replayed. What does not fit cannot get better by itself, so it ends as a dead letter at once.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from jobs.errors import PermanentError

__all__ = ["InvalidPayload", "parse"]

Model = TypeVar("Model", bound=BaseModel)


class InvalidPayload(PermanentError):
    """The payload does not fit the handler's model. The text names each field and reason, never a value."""


def parse(model: type[Model], payload: Any) -> Model:
    """The payload as a model. Raises InvalidPayload."""
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        raise InvalidPayload(_explain(error)) from None  # the cause says the same, at length


def _explain(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}" for item in found[:10])
