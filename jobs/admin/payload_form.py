"""The form that edits a payload: a field for each property of the kind's model, or its JSON where there is none.

It reads what was typed; whether it fits is decided where every payload is, in `jobs.submit`.
"""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from pydantic import BaseModel
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from jobs.admin.forms import JsonField, ReplayForm
from jobs.errors import InvalidSubmission

__all__ = ["PayloadForm"]

_LONG = 80
_MOST = 60
_LEFT_OUT = object()


class AnyJson(forms.CharField):
    """Any JSON value as text."""

    def __init__(self, *, one_line: bool = False, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget() if one_line else UnfoldAdminTextareaWidget(attrs={"rows": 4})
        super().__init__(strip=True, widget=widget, **kwargs)
        self.widget.attrs["spellcheck"] = "false"
        self.widget.attrs["class"] = f"{self.widget.attrs.get('class', '')} jb-code-input"

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"This is not JSON: {error}.") from None

    def run_validators(self, value: Any) -> None:
        """Those of CharField look at texts."""


class PayloadForm(ReplayForm):
    """Reason and attempts, and the payload below them. `payload_now`: what was typed, as a payload."""

    def __init__(
        self,
        data: Any = None,
        *,
        model: type[BaseModel] | None,
        payload: dict[str, Any],
        as_json: bool = False,
    ) -> None:
        super().__init__(data)
        self.order_fields([*self.fields])
        self._old = payload
        schema = _schema_of(model)
        properties = schema.get("properties", {})
        self._names: dict[str, str] = {}
        self._on = {name for name, spec in properties.items() if spec.get("default") is True}
        self._required = set(schema.get("required", ()))
        self.by_fields = bool(properties) and not as_json and len(properties) <= _MOST
        if not self.by_fields:
            text = json.dumps(payload, indent=2, ensure_ascii=False)
            self.fields["payload"] = JsonField(required=False, initial=text, help_text="A JSON object.")
            return
        for number, (name, spec) in enumerate(properties.items()):
            self._names[name] = f"p{number}"
            self.fields[f"p{number}"] = _field(name, _resolved(spec, schema), payload)
        rest = {name: value for name, value in payload.items() if name not in properties}
        if rest:
            text = json.dumps(rest, indent=2, ensure_ascii=False)
            help_text = "What the kind's model does not know, as a JSON object."
            self.fields["rest"] = JsonField(
                required=False, initial=text, label="Other fields", help_text=help_text
            )

    @property
    def payload_now(self) -> dict[str, Any]:
        """Needs a valid form. A field that was left empty is left out, unless the model requires it."""
        if not self.by_fields:
            found: dict[str, Any] = self.cleaned_data["payload"]
            return found
        values = {name: self._value(name, field) for name, field in self._names.items()}
        kept = {name: value for name, value in values.items() if value is not _LEFT_OUT}
        return {**self.cleaned_data.get("rest", {}), **kept}

    def _value(self, name: str, field: str) -> Any:
        value, needed = self.cleaned_data[field], name in self._required
        old = self._old.get(name, _LEFT_OUT)
        if isinstance(self.fields[field], forms.BooleanField):
            if not value and old is None:
                return None  # a box cannot show the difference, so it stays what it was
            return value if value or needed or name in self._old or name in self._on else _LEFT_OUT
        if value in (None, ""):
            return old if old is None or old == "" else value if needed else _LEFT_OUT
        if isinstance(value, str) and not (isinstance(old, str) and "\r" in old):
            return value.replace("\r\n", "\n")  # browsers send these for every line of a text
        return value

    def place(self, error: InvalidSubmission) -> None:
        """Show a refusal at the field it names."""
        head, _, rest = error.field.partition(".")
        at, path = head, rest
        if head == "payload" and self.by_fields:
            name, _, path = rest.partition(".")
            at = self._names.get(name, "")
            path = path if at else rest
        text = f"{path}: {error.reason}" if path else error.reason
        self.add_error(at if at in self.fields else None, f"{text[:1].upper()}{text[1:]}")


def _schema_of(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    try:
        return model.model_json_schema()
    except Exception:  # noqa: BLE001 - the model is user code, and not every one has a schema: the JSON is edited then
        return {}


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A property without its `$ref` and without the "or null" around it."""
    found = {**spec}
    options = [option for option in spec.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        found = {**options[0], **{key: value for key, value in spec.items() if key != "anyOf"}}
    if "$ref" in found:
        definition = schema.get("$defs", {}).get(str(found["$ref"]).rpartition("/")[2], {})
        found = {**definition, **{key: value for key, value in found.items() if key != "$ref"}}
    return found


def _field(name: str, spec: dict[str, Any], payload: dict[str, Any]) -> forms.Field:
    value = payload.get(name)
    shared: dict[str, Any] = {"label": name, "required": False, "initial": value, "help_text": _help(spec)}
    if "enum" in spec and (value is None or value in spec["enum"]):
        words = {json.dumps(option): option for option in spec["enum"]}
        choices = [("", "-"), *((key, str(option)) for key, option in words.items())]
        shared["initial"] = None if value is None else json.dumps(value)
        return forms.TypedChoiceField(
            choices=choices,
            coerce=words.__getitem__,
            empty_value=None,
            widget=UnfoldAdminSelectWidget(),
            **shared,
        )
    fits = {"string": str, "integer": int, "number": int | float, "boolean": bool}
    if spec.get("default") is True and name not in payload:
        shared["initial"] = True
    expected = fits.get(str(spec.get("type")))
    if expected is not None and (value is None or isinstance(value, expected)):
        return _simple(spec["type"], value, shared)
    shared["initial"] = json.dumps(value, indent=2, ensure_ascii=False) if name in payload else ""
    return AnyJson(**shared)


def _simple(kind: str, value: Any, shared: dict[str, Any]) -> forms.Field:
    match kind:
        case "boolean":
            return forms.BooleanField(widget=UnfoldBooleanWidget(), **shared)
        case "integer":
            return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget(), **shared)
        case "number":
            initial = "" if value is None else json.dumps(value)
            return AnyJson(one_line=True, **{**shared, "initial": initial})
        case _:
            long = isinstance(value, str) and (len(value) > _LONG or "\n" in value)
            attrs: dict[str, Any] = {"autocomplete": "off"}
            widget: Any = (
                UnfoldAdminTextareaWidget(attrs={**attrs, "rows": 4})
                if long
                else UnfoldAdminTextInputWidget(attrs=attrs)
            )
            return forms.CharField(strip=False, widget=widget, **shared)


def _help(spec: dict[str, Any]) -> str:
    """What the model says of a property, in sentences."""
    bounds = [
        words.format(spec[key])
        for key, words in (
            ("minimum", "at least {}"),
            ("exclusiveMinimum", "more than {}"),
            ("maximum", "at most {}"),
            ("exclusiveMaximum", "less than {}"),
            ("maxLength", "at most {} characters"),
        )
        if key in spec
    ]
    said = [str(spec.get("description", "")).strip(), ", ".join(bounds).capitalize()]
    if spec.get("default") is not None and spec.get("type") != "boolean":
        said.append(f"Empty: {json.dumps(spec['default'], ensure_ascii=False)[:_LONG]}")
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in said if text)
