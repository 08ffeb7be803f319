"""What clients get of the things that running handlers leave: progress, log lines and how many are gone, effects."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.api.fields import Read
from jobs.models import Effect, LogLine, LogLoss, Progress

__all__ = ["EffectShape", "LogLineShape", "LogLossShape", "ProgressShape"]

_ANY: dict[str, Any] = {}


class ProgressShape(Read):
    class Meta:
        model = Progress
        fields = ["attempt", "fraction", "note", "updated_at"]


class LogLineShape(Read):
    class Meta:
        model = LogLine
        fields = ["id", "attempt", "at", "level", "line"]


class LogLossShape(Read):
    class Meta:
        model = LogLoss
        fields = ["over_limit", "unsent"]


class EffectShape(Read):
    scope = serializers.SerializerMethodField(help_text="global: the key of all jobs; job: its own.")
    result = extend_schema_field(_ANY)(serializers.JSONField)(
        read_only=True, help_text="What the function returned."
    )

    class Meta:
        model = Effect
        fields = ["id", "key", "scope", "attempt", "result", "created_at"]

    @extend_schema_field(serializers.ChoiceField(choices=["global", "job"]))
    def get_scope(self, effect: Effect) -> str:
        return "job" if effect.scope else "global"
