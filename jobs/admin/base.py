"""What all admins of this app share: a list by key, a page of its own, nothing that Django's forms could save.

The machinery of ModelAdmin that adds, changes and deletes is closed for everybody, superusers too: what can be done is
an `Act`, or one of our own forms, and goes through `jobs.control` and `jobs.steering`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.admin import ModelAdmin

from jobs.admin.confirmed import ActsMixin
from jobs.admin.keyset import Column, KeysetChangeList, integer
from jobs.control import Actor
from jobs.display import address
from jobs.models import OperatorAction

__all__ = ["SteeredAdmin", "needs"]

_SHOWN_ACTIONS = 50


def needs(permission: str) -> Callable[[Any], Any]:
    """Around unfold's `action`, which offers a form only to whom it may, but refuses the others without a word."""

    def around(view: Any) -> Any:
        @wraps(view)  # its attributes too: unfold reads the address and the label from them
        def asked(admin: SteeredAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            admin.require(request, permission)
            answer: HttpResponse = view(admin, request, *args, **kwargs)
            return answer

        return asked

    return around


class SteeredAdmin(ActsMixin, ModelAdmin):
    """Base of the admins. `page_template` and `page_context` make an object's page.

    live_template: the part of it that changes, which `live.js` fetches anew when something is told on `live_topic`.
    """

    keyset: tuple[Column, ...] = (Column(name="pk", read=integer),)
    page_template = ""
    live_template = ""
    empty_title = "Nothing here"
    empty_text = ""
    target_type = ""
    live_topic = ""

    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_disable_select_all = True
    sortable_by = ()

    class Media:
        css = {"all": ["jobs/admin.css"]}
        js = ["jobs/live.js"]

    # -- closed --------------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's would look for the object before it asks for the permission, with whatever text came."""
        raise PermissionDenied

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only our filters. Django would let any column be searched by any lookup, such as a pattern over payloads."""
        return lookup in {getattr(spec, "parameter_name", None) for spec in self.list_filter}

    def require(self, request: HttpRequest, *permissions: str) -> None:
        """Raise PermissionDenied with a sentence that names what is missing: to see the objects, or one of these."""
        actor = Actor.of(request.user)
        if not self.has_view_permission(request):
            actor.require(f"jobs.view_{self.opts.model_name}")
        for permission in permissions:
            actor.require(permission)

    # -- list ----------------------------------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.require(request)
        if ERROR_FLAG in request.GET:
            messages.warning(request, "The address was not understood, so this is the whole list.")
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    # -- pages ---------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        live = path(
            "<path:object_id>/live/",
            self.admin_site.admin_view(self.live_view),
            name=f"jobs_{self.opts.model_name}_live",
        )
        return [*self.act_urls(), *([live] if self.live_template else []), *super().get_urls()]

    def key(self, text: str) -> Any:
        """The primary key that a text stands for, or None. Never an error, whatever the text."""
        try:
            return integer(text)
        except ValueError:
            return None

    def found(self, request: HttpRequest, object_id: str) -> Model | None:
        key = self.key(unquote(object_id))
        return None if key is None else self.get_queryset(request).filter(pk=key).first()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The object's page. The name is Django's; nothing can be changed in it."""
        self.require(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.found(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        return self.render(request, self.page_template, row=row, title=str(row), **self.page(request, row))

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the object's page shows beside the object. `buttons` and `actions` are there always."""
        return {
            "buttons": self.offered(request, row),
            "actions": self.recorded(request, row),
            "live_topic": self.live_topic and f"{self.live_topic}:{row.pk}",
            "live_url": address(self.model, "live", row.pk) if self.live_template else "",
            **self.page_context(request, row),
        }

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {}

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The part of the page that changes."""
        self.require(request)
        row = self.found(request, object_id)
        if row is None or not self.lives(row):
            return HttpResponse(status=404)
        context = {"row": row, "title": str(row), "opts": self.opts, **self.page(request, row)}
        return TemplateResponse(request, self.live_template, context)

    def lives(self, row: Any) -> bool:
        """Whether this object's page has such a part."""
        return True

    def recorded(self, request: HttpRequest, row: Model) -> list[OperatorAction]:
        """What operators did to this object, newest first."""
        if not self.target_type or not request.user.has_perm("jobs.view_operatoraction"):
            return []
        found = OperatorAction.objects.filter(target_type=self.target_type, target_id=str(row.pk))
        return list(found.order_by("-pk")[:_SHOWN_ACTIONS])

    def render(
        self, request: HttpRequest, template: str, *, row: Model | None = None, title: str, **context: Any
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "row": row,
            "title": title,
            "media": self.media,
        }
        return TemplateResponse(request, template, {**shared, **context})

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = f"There is no {self.opts.verbose_name} “{unquote(object_id)[:60]}”; it may have been deleted."
        messages.warning(request, text.replace("\x00", "�"))
        return HttpResponseRedirect(address(self.model, "changelist"))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What was done to an object is in the operators' record, not in Django's log of its own forms."""
        self.require(request)
        key = self.key(unquote(object_id))
        if key is None or not self.target_type:
            return self.missing(request, object_id)
        query = urlencode({"target": f"{self.target_type}:{key}"})
        return HttpResponseRedirect(f"{reverse('admin:jobs_operatoraction_changelist')}?{query}")
