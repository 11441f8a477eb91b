"""The applications, and what is asked of each: a path, its template and its status."""

UNMATCHED = "(unmatched)"
Case = tuple[str, str, int]

WRITTEN: dict[str, list[Case]] = {
    "notes:create_app": [  # Flask
        ("/notes/7", "/notes/{number}", 200),
        ("/notes/files/a/b.txt", "/notes/files/{name}", 200),
        ("/notes/broken", "/notes/broken", 500),
        ("/nowhere", UNMATCHED, 404),
    ],
    "polls.wsgi:application": [  # Django
        ("/polls/7/results/", "/polls/{poll}/results/", 200),
        ("/articles/2024/", "/articles/{year}/", 200),
        ("/broken", "/broken", 500),
        ("/nowhere", UNMATCHED, 404),
    ],
    "catalogue.main:app": [  # FastAPI, with a mounted part; the last, as tests go on with it
        ("/books/7", "/books/{number}", 200),
        ("/shelves/top", "/shelves/{shelf}", 200),
        ("/books/seven", "/books/{number}", 422),
        ("/nowhere", UNMATCHED, 404),
    ],
}
"""Applications of a few lines."""

RELEASED: dict[str, list[Case]] = {
    "fakellm.server:app": [  # FastAPI; it streams: test_streams.py
        ("/_fakellm/conversations", "/_fakellm/conversations", 200),
        ("/v1/messages", "/v1/messages", 405),
        ("/nowhere", UNMATCHED, 404),
    ],
    "httpbin:app": [  # Flask
        ("/get", "/get", 200),
        ("/status/418", "/status/{codes}", 418),
        ("/anything/a/b", "/anything/{anything}", 200),
        ("/nowhere", UNMATCHED, 404),
    ],
    "ara.server.wsgi:application": [  # Django and its REST framework
        ("/", "/", 200),
        ("/api/v1/playbooks", "/api/v1/playbooks", 200),
        ("/api/v1/playbooks/7", "/api/v1/playbooks/{pk}", 404),
        ("/playbooks/7.html", "/playbooks/{pk}.html", 404),
        ("/nowhere", UNMATCHED, 404),
    ],
    "tables:app": [  # Datasette, an ASGI application without a framework
        ("/", "/", 200),
        ("/library/books.json", "/{database}/{table}", 200),
        ("/library/books/7", "/{database}/{table}/{pks}", 200),
        ("/-/static/app.css", "/-/static/{path}", 200),
        ("/nowhere", "/{database}", 404),
    ],
    "radicale:application": [  # a WSGI application without a framework, and without routes: its paths are collections
        ("/.web/", UNMATCHED, 200),
        ("/nowhere", UNMATCHED, 404),
    ],
    "packages:app": [  # pypiserver, with a Bottle of its own
        ("/", "/", 200),
        ("/simple/shelf/", "/simple/{project}/", 200),
        ("/packages/none.whl", "/packages/{filename}", 404),
        ("/a/b/c", UNMATCHED, 404),
    ],
    "index:create_app": [  # simple-repository-server: FastAPI, its routes added at its start
        ("/simple/", "/simple/", 200),
        ("/simple/shelf/", "/simple/{project_name}/", 200),
        ("/nowhere", UNMATCHED, 404),
    ],
}
"""Applications from the package registry, as they were released."""

OTHERS: dict[str, list[Case]] = {
    "polls.asgi:application": [
        ("/polls/7/results/", "/polls/{poll}/results/", 200),
        ("/nowhere", UNMATCHED, 404),
    ],
    "of_litestar:app": [("/shop/orders/7", "/shop/orders/{order}", 200), ("/shop/orders/seven", UNMATCHED, 404)],
    "of_quart:app": [("/rooms/7", "/rooms/{room}", 200), ("/rooms/seven", UNMATCHED, 404)],
    "of_falcon:app": [
        ("/items/x/parts/3", "/items/{sku}/parts/{part}", 200),
        ("/items/x/parts/three", UNMATCHED, 404),
    ],
}
"""Applications of the frameworks that are left, and Django by ASGI; tests/long asks them, too."""
