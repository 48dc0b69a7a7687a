"""The paths of the page."""

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from vipx.runtime.server.page.context import PageContext
from vipx.runtime.server.page.history import HistoryScreen
from vipx.runtime.server.page.live import LiveScreen
from vipx.runtime.server.page.rendering import FOLDER, Templates
from vipx.runtime.server.page.system import SystemScreen
from vipx.runtime.server.page.thresholds import ThresholdScreen
from vipx.runtime.server.page.trial import TryScreen


def page_routes(context: PageContext) -> list[BaseRoute]:
    """List the paths of all screens, and make the board follow the store."""
    context.store.listen(context.board.publish)
    templates = Templates(context.alarms)
    screens = (LiveScreen, TryScreen, HistoryScreen, ThresholdScreen, SystemScreen)
    return [
        *(route for screen in screens for route in screen(context, templates).routes()),
        Mount(
            "/static", StaticFiles(directory=FOLDER / "static", follow_symlink=False), name="static"
        ),
    ]
