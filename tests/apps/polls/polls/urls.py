"""Views and their paths."""

from django.http import HttpRequest, JsonResponse
from django.urls import include, path, re_path


def shown(request: HttpRequest, **parameters: object) -> JsonResponse:
    """Answer with what the path was taken for."""
    return JsonResponse(parameters)


def broken(request: HttpRequest) -> JsonResponse:
    """Fail."""
    raise RuntimeError("broken")


urlpatterns = [
    path("", shown),
    path("broken", broken),
    path("polls/", include([path("<int:poll>/results/", shown), path("<slug:name>", shown)])),
    path("api/", include([re_path(r"(?i)^users/$", shown)])),
    re_path(r"^shelves/(?P<pk>\d+)/", include([re_path(r"^books/(?P<pk>\d+)/$", shown)])),
    re_path(r"^red/|^green/", shown),
    re_path(r"^articles/(?P<year>[0-9]{4})/$", shown),
]
