"""`/session`: a browser says who it is, and gets a cookie that no script can read."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vipx.runtime.server.app.answers import json_answer
from vipx.runtime.server.app.safety.access import COOKIE, SESSION_S, Access
from vipx.runtime.server.app.safety.bodies import Bodies, check_content_type
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.json_text import read_json_object


class SessionRoutes:
    """Opens, shows and ends sessions."""

    def __init__(self, access: Access, bodies: Bodies) -> None:
        self._access = access
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """List the paths."""
        return [Route("/session", self._answer, methods=["GET", "POST", "DELETE"])]

    async def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._open(request)
        if request.method == "DELETE":
            return self._end(request)
        return json_answer({"role": request.state.role})

    async def _open(self, request: Request) -> Response:
        check_content_type(request, ("application/json",))
        async with self._bodies.read(request) as body:
            secret = read_json_object(body).get("secret")
        if not isinstance(secret, str) or not secret:
            raise RequestError("expected a JSON object with a secret")
        address = request.client.host if request.client else ""
        key = await self._access.log_in(secret, address)
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE,
            key,
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def _end(self, request: Request) -> Response:
        self._access.log_out(request.headers)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer
