"""An application of Quart's."""

from quart import Quart, websocket

app = Quart(__name__)


@app.get("/rooms/<int:room>")
async def room(room: int) -> dict[str, int]:
    """Return a room."""
    return {"room": room}


@app.websocket("/rooms/<int:room>/talk")
async def talk(room: int) -> None:
    """Say something back."""
    await websocket.accept()
    await websocket.send(await websocket.receive())
