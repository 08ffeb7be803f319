"""All settings, and the only place that reads the environment.

Two situations: `local` (the default: http on this machine, embedded database) and `production`
(OPSCHED_ENV=production: https, hosts named, secure cookies). DEBUG is off in both unless OPSCHED_DEBUG=1.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from opsched import environment
from opsched.embedded.layout import Layout
from opsched.secret import kept_secret
from opsched.unfold import UNFOLD  # noqa: F401  # a setting by its name

_env = os.environ
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(_env.get("OPSCHED_DATA") or BASE_DIR / "var").expanduser().resolve()

_PRODUCTION = environment.choice(_env, "OPSCHED_ENV", ("local", "production")) == "production"
DEBUG = environment.flag(_env, "OPSCHED_DEBUG", default=False)
if DEBUG and _PRODUCTION:
    raise ImproperlyConfigured(
        "OPSCHED_DEBUG=1 shows source and settings to visitors: unset it in production."
    )
SECRET_KEY = _env.get("OPSCHED_SECRET_KEY") or kept_secret(DATA_DIR / "secret_key")

# --- who may talk to us ---
ALLOWED_HOSTS = environment.names(
    _env, "OPSCHED_HOSTS", () if _PRODUCTION else ("localhost", "127.0.0.1", "[::1]")
)
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "OPSCHED_HOSTS must name the hosts of this installation, e.g. ops.example.org."
    )
CSRF_TRUSTED_ORIGINS = environment.names(_env, "OPSCHED_TRUSTED_ORIGINS")
if environment.flag(_env, "OPSCHED_BEHIND_PROXY", default=False):
    # Only a proxy that always sets this header may stand in front, hence a switch of its own.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = _PRODUCTION
# Probes come from the machine itself, over http.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 86400 if _PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _PRODUCTION
SECURE_HSTS_PRELOAD = _PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# /metrics tells figures, no payloads. It is open to the machine itself; others need this token.
METRICS_TOKEN = _env.get("OPSCHED_METRICS_TOKEN", "")

# --- what it is made of ---
INSTALLED_APPS = [
    "opsched",
    "jobs",  # before channels: both have a command `runworker`, and the earlier app wins
    "notifications",
    "daphne",  # before staticfiles: both have a command `runserver`
    "unfold",  # before django.contrib.admin: it replaces its templates
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",  # Swagger UI as static files: the page must work without the Internet
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "opsched.static.StaticFiles",
    "opsched.headers.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "opsched.urls"
ASGI_APPLICATION = "opsched.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- where it keeps things ---
_database_url = _env.get("DATABASE_URL", "").strip()
if _database_url:
    _default = environment.database_from_url(_database_url)
else:
    _embedded = Layout(root=DATA_DIR / "pg")
    _default = {
        # Django's PostgreSQL backend, which starts the server when one is needed.
        "ENGINE": "opsched.embedded.postgresql",
        "EMBEDDED": _embedded.root,
        "NAME": "opsched",
        "USER": "opsched",
        "HOST": str(_embedded.socket_folder),
        "PORT": "5432",  # only names the socket; there is no TCP
        "OPTIONS": {"application_name": "opsched"},
    }
DATABASES = {"default": {**_default, "ATOMIC_REQUESTS": False, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
# Served from the packages themselves: `collectstatic` is only for a web server in front that serves them.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 300
# JSON of at most 256 KB per payload, and bulk submissions of many; what is larger is refused before it is parsed.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# --- REST ---
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_VERSIONING_CLASS": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "opsched",
    "VERSION": "1",
    "DESCRIPTION": "Jobs, workflows, schedules, queues and dead letters.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    # Several resources have a "state" of their own; without names the description would number them.
    "ENUM_NAME_OVERRIDES": {
        "JobState": "jobs.models.job.STATES",
        "FirstJobState": "jobs.api.submissions.FIRST_STATES",
        "WorkflowState": "jobs.models.workflow.Workflow.STATES",
        "WorkerState": "jobs.models.queue.WorkerProcess.STATES",
        "DeadLetterRunState": "jobs.models.deadletter_run.DeadLetterRun.STATES",
        "DeadLetterItemState": "jobs.models.deadletter_run.DeadLetterItem.STATES",
    },
}

# --- ours ---
OPSCHED = {
    "HANDLER_MODULES": environment.names(_env, "OPSCHED_HANDLER_MODULES"),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"short": {"()": "opsched.logs.NoTracebackOfRefusals"}},
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["short"]}},
    "root": {
        "handlers": ["stderr"],
        "level": environment.choice(_env, "OPSCHED_LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
    },
    # One line a request is Daphne's access log already.
    "loggers": {"django.channels.server": {"level": "WARNING"}, "daphne": {"level": "WARNING"}},
}
