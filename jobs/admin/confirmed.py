"""The one way an operator changes something here: pick objects, see what will happen, say why, confirm.

Buttons, bulk actions of a list and their confirmation page all go through `ActsMixin`. GET shows, only a POST with
`confirmed` acts; the permission is asked for on both, and again by `jobs.control`, which does and records the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from jobs.admin.forms import OptionalReasonForm, place_error
from jobs.admin.joblist import known_queues
from jobs.control import ActionResult, Actor
from jobs.display import address, way_to
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.models import DeadLetterRun

__all__ = ["AT_ONCE", "Act", "ActsMixin", "for_one"]

AT_ONCE = 1000
_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something an operator can do to objects of one model.

    permission: all of these are needed. `run(actor, keys, **fields of the form)` does it and returns an ActionResult
    or a sentence. `refusal(object)`: why it cannot be done to this one as it is now, or "". bulk: offered in the list.
    """

    name: str
    label: str
    permissions: tuple[str, ...]
    consequence: str
    run: Callable[..., ActionResult | str]
    refusal: Callable[[Any], str]
    icon: str = "play_arrow"
    form: type[OptionalReasonForm] = OptionalReasonForm
    danger: bool = False
    bulk: bool = True
    vanishes: bool = False


def for_one(change: Callable[..., Any], sentence: str) -> Callable[..., str]:
    """The `run` of an act that takes one object at a time. `sentence` may name its `{key}` and the `{result}`."""

    def run(actor: Actor, keys: Sequence[Any], *, reason: str) -> str:
        return sentence.format(result=change(actor, keys[0], reason=reason), key=keys[0])

    return run


class ActsMixin:
    """For a ModelAdmin: `acts` become bulk actions and confirmation pages at `_act/<name>/`."""

    acts: tuple[Act, ...] = ()
    model: type[Model]
    opts: Any
    admin_site: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Django asks `has_<word>_permission` for the words that an action declares.

        The words begin with `act_`: an act named "delete" must not open Django's own way to delete.
        """
        super().__init_subclass__(**kwargs)
        for act in cls.acts:
            setattr(cls, f"has_act_{act.name}_permission", _asks(act))
        cls.actions = tuple(_bulk(act) for act in cls.acts if act.bulk)  # type: ignore[attr-defined]

    def may(self, request: HttpRequest, act: Act) -> bool:
        return self.has_view_permission(request) and all(  # type: ignore[attr-defined]
            request.user.has_perm(permission) for permission in act.permissions
        )

    def offered(self, request: HttpRequest, row: Model) -> list[dict[str, str]]:
        """The buttons of an object's page: what is possible now and permitted."""
        # Not through `address`, which quotes what it is given as the admin quotes keys: "run_now" was no page.
        where = f"admin:jobs_{self.opts.model_name}_act"
        return [
            {
                "label": act.label,
                "icon": act.icon,
                "danger": "danger" if act.danger else "",
                "url": f"{reverse(where, args=[act.name])}?keys={row.pk}",
            }
            for act in self.acts
            if self.may(request, act) and not act.refusal(row)
        ]

    def act_urls(self) -> list[URLPattern]:
        """With an underscore, which the admin quotes in keys: a queue may be called "act"."""
        name = f"jobs_{self.opts.model_name}_act"
        return [path("_act/<slug:name>/", self.admin_site.admin_view(self.act_view), name=name)]

    def act_view(self, request: HttpRequest, name: str) -> HttpResponse:
        act = next((act for act in self.acts if act.name == name), None)
        if act is None:
            raise Http404(f"There is no action {name[:40]}.")
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        given = request.POST if request.method == "POST" else request.GET
        return self.act_on(request, act, self._keys(given.get("keys", "")))

    def act_on(self, request: HttpRequest, act: Act, keys: Sequence[Any]) -> HttpResponse:
        """The confirmation page for these objects, or the act itself once it was confirmed."""
        self.require(request, *act.permissions)  # type: ignore[attr-defined]
        rows = list(self._rows(request, keys[: AT_ONCE if act.bulk else 1])) if keys else []
        if not rows:
            messages.error(request, "Nothing that exists was selected.")
            return HttpResponseRedirect(address(self.model, "changelist"))
        confirmed = request.method == "POST" and "confirmed" in request.POST
        form = act.form(request.POST) if confirmed else act.form(initial=act.form.start(rows[0]))
        if confirmed and form.is_valid():
            done = self._perform(request, act, rows, form)
            if done is not None:
                return done
        return self._confirmation(request, act, rows, form)

    def _perform(
        self, request: HttpRequest, act: Act, rows: list[Model], form: OptionalReasonForm
    ) -> HttpResponse | None:
        """None when the form has to be shown again."""
        try:
            result = act.run(Actor.of(request.user), [row.pk for row in rows], **form.cleaned_data)
        except InvalidSubmission as error:
            place_error(form, error)
            return None
        except (ActionRefused, NotFound) as error:
            messages.error(request, str(error))
        else:
            _report(request, act, result)
        return HttpResponseRedirect(self._back(request, act, rows))

    def _confirmation(
        self, request: HttpRequest, act: Act, rows: list[Model], form: OptionalReasonForm
    ) -> HttpResponse:
        refused = [(row, act.refusal(row)) for row in rows if act.refusal(row)]
        possible = [row for row in rows if not act.refusal(row)]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": act.label,
            "original": rows[0] if len(rows) == 1 else None,
            "act": act,
            "form": form,
            "possible": possible[:_NAMED],
            "possible_count": len(possible),
            "possible_more": len(possible[_NAMED:]),
            "refused": refused[:_NAMED],
            "refused_count": len(refused),
            "refused_more": len(refused[_NAMED:]),
            "keys": ",".join(str(row.pk) for row in rows),
            "next": self._next(request),
            "back": self._back(request, act, rows, done=False),
            "queues": known_queues() if "queue" in form.fields else [],
            "noun": self.opts.verbose_name if len(possible) == 1 else self.opts.verbose_name_plural,
            "media": self.media,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/jobs/confirm.html", context)

    def _rows(self, request: HttpRequest, keys: Sequence[Any]) -> QuerySet[Model]:
        return self.get_queryset(request).filter(pk__in=keys).order_by("pk")  # type: ignore[attr-defined]

    def _keys(self, text: str) -> list[Any]:
        """The keys in a comma-separated text; what cannot be a key is left out."""
        found = [self.key(part) for part in text.split(",")[: AT_ONCE + 1]]  # type: ignore[attr-defined]
        return [key for key in found if key is not None]

    def _next(self, request: HttpRequest) -> str:
        """Where to go afterwards, if it is an address of ours: given by the form, or the list the objects came from."""
        wanted = request.POST.get("next", "")
        if not wanted and request.method == "POST" and "confirmed" not in request.POST:
            wanted = request.get_full_path()
        ours = url_has_allowed_host_and_scheme(
            wanted, {request.get_host()}, require_https=request.is_secure()
        )
        return wanted if ours else ""

    def _back(self, request: HttpRequest, act: Act, rows: list[Model], *, done: bool = True) -> str:
        found = self._next(request)
        if found:
            return found
        if len(rows) > 1 or (done and act.vanishes):
            return address(self.model, "changelist")
        return address(self.model, "change", rows[0].pk)


def _asks(act: Act) -> Callable[..., bool]:
    def has_permission(self: ActsMixin, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, act)

    return has_permission


def _bulk(act: Act) -> Callable[..., HttpResponse]:
    def run(admin: ActsMixin, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse:
        return admin.act_on(request, act, list(queryset.values_list("pk", flat=True)[:AT_ONCE]))

    run.__name__ = act.name
    run.short_description = f"{act.label} …"  # type: ignore[attr-defined]
    run.allowed_permissions = (f"act_{act.name}",)  # type: ignore[attr-defined]
    return run


def _report(request: HttpRequest, act: Act, result: ActionResult | str) -> None:
    """What happened and what was refused, and why."""
    if isinstance(result, str):
        messages.success(request, result)
        return
    if result.done:
        messages.success(request, f"{act.label}: done for {_named(result.done)}.")
    run = getattr(result, "run", None)
    sees = request.user.has_perm("jobs.view_deadletterrun")
    if result.done and run is not None and sees and act.name != "undo":
        way = way_to(request.user, DeadLetterRun, run, "take it back")
        until = "as long as it is kept" if act.name == "discard" else "until it has started"
        messages.info(request, format_html("You can {}, {}.", way, until))
    if result.requested:
        messages.info(request, f"{act.label}: asked the worker of {_named(result.requested)}.")
    if result.refused:
        reasons = "; ".join(refusal.reason for refusal in result.refused[:_NAMED])
        more = f"; and {len(result.refused) - _NAMED:,} more" if len(result.refused) > _NAMED else ""
        messages.warning(request, f"{act.label}: refused for {len(result.refused):,}: {reasons}{more}.")


def _named(ids: Sequence[int]) -> str:
    return f"job {ids[0]}" if len(ids) == 1 else f"{len(ids):,} jobs"
