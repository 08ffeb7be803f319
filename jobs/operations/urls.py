"""Addresses of the operations page. To be included in front of the admin's own, under its prefix + "operations/"."""

from __future__ import annotations

from django.urls import path

from jobs.operations import views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("", views.page, name="operations"),
    path("state", views.state, name="operations-state"),
    path("queue", views.steer_queue, name="operations-queue"),
]
