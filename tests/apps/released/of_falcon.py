"""An application of Falcon's."""

import falcon


class Parts:
    """Parts of an item."""

    def on_get(self, request: falcon.Request, response: falcon.Response, **parameters: object) -> None:
        """Answer with what the path was taken for."""
        response.media = parameters


app = falcon.App()
app.add_route("/items/{sku}/parts/{part:int}", Parts())
