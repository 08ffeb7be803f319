"""Field types of the API that take exactly one JSON type each: no "5" for 5, no naive time, no unknown key.

DRF's own fields are lenient for HTML forms; a program that sends the wrong type wants to hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.core.suggestion import did_you_mean, nearest
from jobs.errors import InvalidSubmission
from jobs.payloads import check_time

__all__ = ["MAX_ID", "Body", "Id", "Instant", "JsonObject", "Seconds", "Text", "Whole", "read_instant"]

MAX_ID = 2**63 - 1
_MOST_UNKNOWN = 20
_SHOWN = 100


class Text(serializers.CharField):
    """A JSON string, kept as it is."""

    default_error_messages = {"type": "must be a text"}

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        return data


class Whole(serializers.IntegerField):
    """A JSON number without fraction."""

    default_error_messages = {"type": "must be a whole number"}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("type")
        return data


class Id(Whole):
    """The id of a row."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **options)


class Seconds(serializers.FloatField):
    """A duration in seconds."""

    default_error_messages = {"type": "must be a number of seconds"}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("type")
        try:
            return float(data)
        except OverflowError:
            self.fail("type")


class Instant(serializers.DateTimeField):
    """A time with a zone."""

    default_error_messages = {"instant": "{reason}"}

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return read_instant(value)
        except InvalidSubmission as error:
            self.fail("instant", reason=error.reason)


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObject(serializers.Field):  # type: ignore[type-arg]
    """A JSON object, passed on as it is."""

    default_error_messages = {"type": "must be a JSON object"}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("type")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Body(serializers.Serializer):  # type: ignore[type-arg]
    """The object in a request. A key it does not know is an error with a suggestion."""

    default_error_messages = {"invalid": "must be a JSON object"}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            raise serializers.ValidationError(
                {name[:_SHOWN]: [self._no_such_field(name)] for name in unknown[:_MOST_UNKNOWN]}
            )
        return super().to_internal_value(data)

    def _no_such_field(self, name: str) -> str:
        return f"there is no such field{did_you_mean(nearest(name, self.fields))}"


def read_instant(text: Any) -> datetime:
    """An ISO 8601 time with a zone. Raises InvalidSubmission; the caller knows the field."""
    if not isinstance(text, str):
        raise InvalidSubmission("", 'must be a text such as "2030-01-31T12:00:00Z"')
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSubmission("", 'must be a time such as "2030-01-31T12:00:00Z"') from None
    return check_time(found, field="")


class Read(serializers.ModelSerializer[Any]):
    """Base: nothing here is ever written."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields
