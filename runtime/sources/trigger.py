"""`POST /v1/trigger/{camera}`: a PLC's pulse by HTTP; the answer is the verdict on the next frame."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from vipx.errors import ResourceError
from vipx.runtime.sources.camera import CameraSource
from vipx.runtime.sources.source import Picture

Answer = Callable[[Picture], Awaitable[Response]]
TRIGGER: Final = "/v1/trigger/{camera}"
_LONGEST_ID = 128


def trigger_routes(cameras: Mapping[str, CameraSource], answer: Answer) -> list[BaseRoute]:
    """List the paths.

    Args:
        cameras: By name.
        answer: Inspects a picture and answers as `/v1/inspect` does; raises as that path does.
    """

    async def trigger(request: Request) -> Response:
        camera = cameras.get(request.path_params["camera"])
        if camera is None:
            return JSONResponse({"error": "there is no such camera"}, 404)
        part_id = request.query_params.get("part_id", "")
        if len(part_id) > _LONGEST_ID or not (part_id.isprintable() or not part_id):
            return JSONResponse(
                {"error": "part_id: expected at most 128 printable characters"}, 400
            )
        try:
            picture = await camera.picture(part_id)
        except ResourceError as error:
            return JSONResponse({"error": str(error)}, 503, {"Retry-After": "1"})
        return await answer(picture)

    return [Route(TRIGGER, trigger, methods=["POST"])]
