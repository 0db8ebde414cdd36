"""Swagger UI and ReDoc from this server: no other host is asked for anything."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from app.core.errors import ApiError

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{root}/docs/assets/fastapi/favicon.png">
{head}
</head>
<body>
{body}
</body>
</html>
"""
_SWAGGER_HEAD = """<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="{root}/docs/assets/swagger/swagger-ui.css">
<style>
#ended, #script {{ position: sticky; top: 0; z-index: 1; margin: 0; padding: 12px 20px; text-align: center;
  font: 600 16px sans-serif; background: #fde68a; color: #422006; }}
#script {{ background: #bfdbfe; color: #172554; }}
.swagger-ui .dialog-ux .modal-ux-content {{ max-height: calc(100vh - 120px); }}
</style>"""
_SWAGGER_BODY = """<p id="ended" role="alert" hidden></p>
<p id="script" role="status" hidden></p>
<div id="swagger-ui"></div>
<script src="{root}/docs/assets/swagger/swagger-ui-bundle.js"></script>
<script src="{root}/docs/start.js"></script>"""
# Swagger UI is dark by a class, and does not refresh. It would keep all that was typed into the dialog, and the refresh
# token.
_SWAGGER_START = """const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
const ended = document.getElementById("ended");
const signInAgain = "Your access token is no longer accepted: it is good for minutes, or you have signed out. " +
  "Press Authorize, sign in again, then Execute.";
const giveAnother = "The script's token is no longer accepted: it has ended. " +
  "Press Authorize, give another, then Execute.";
const script = document.getElementById("script");
const allowedBy = (token) => {{
  try {{
    const [, claims] = token.split(".");
    const {{scope, exp}} = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
    const acts = scope.split(" ").map((name) => name === "tasks:read" ? "read tasks" : "write tasks");
    const until = new Date(exp * 1000).toISOString().slice(0, 10);
    return `Tasks are tried with the script's token: it may ${{acts.join(" and ")}} until ${{until}}.`;
  }} catch {{
    return "What you gave as ScriptToken is no script's token, which begins with atk_.";
  }}
}};
const withToken = new Set();
const keep = (authorized) => {{
  const kept = {{}};
  for (const [id, {{name, schema, token}}] of Object.entries(authorized)) {{
    if (token?.access_token) {{
      kept[id] = {{name, schema, token: {{access_token: token.access_token, token_type: token.token_type}}}};
    }}
  }}
  localStorage.setItem("authorized", JSON.stringify(kept));
}};
const before = localStorage.getItem("authorized");
if (before) {{
  try {{
    keep(JSON.parse(before));
  }} catch {{
    localStorage.removeItem("authorized");
  }}
}}
const persistAuthorizationIfNeeded = (_, system) => () => {{
  const authorized = system.authSelectors.authorized().toJS();
  keep(authorized);
  ended.hidden ||= Object.keys(authorized).length > 0;
  const token = authorized.ScriptToken?.value;
  script.hidden = !token;
  script.textContent = token ? allowedBy(token) : "";
}};
const requestInterceptor = (request) => {{
  if (request.headers.Authorization) {{
    withToken.add(request.url);
  }}
  return request;
}};
const responseInterceptor = (response) => {{
  const challenge = response.headers["www-authenticate"] ?? "";
  if (response.status === 401 && withToken.delete(response.url) && challenge.includes("invalid_token")) {{
    const authorized = ui.authSelectors.authorized().toJS();
    ended.textContent = authorized.ScriptToken ? giveAnother : signInAgain;
    ui.authActions.logoutWithPersistOption(Object.keys(authorized));
    ended.hidden = false;
  }}
  return response;
}};
const ui = SwaggerUIBundle({{
  url: "{root}/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  plugins: [() => ({{statePlugins: {{auth: {{wrapActions: {{persistAuthorizationIfNeeded}}}}}}}})],
  tryItOutEnabled: true,
  requestInterceptor,
  responseInterceptor,
}});
"""
_REDOC_BODY = """<redoc spec-url="{root}/openapi.json"></redoc>
<script src="{root}/docs/assets/redoc/redoc.standalone.js"></script>"""


class BadRange(ApiError):
    code = "BAD_RANGE"
    message = "The Range header cannot be read: without one the whole file is sent."


class RangeNotSatisfiable(ApiError):
    status = HTTPStatus(416)  # its name differs between Python 3.11 and 3.13
    code = "RANGE_NOT_SATISFIABLE"
    message = "The file ends before what the Range header asks for."


MAX_ASSET_PATH = 200  # of 60,000 characters the file system would be asked for each folder, for a second


class _Assets(StaticFiles):
    """Files that change only with the package: a browser may keep them for a day."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file, or a part of it. Raises: BadRange and RangeNotSatisfiable, for Starlette's plain text."""
        if len(scope["path"]) > MAX_ASSET_PATH:
            raise HTTPException(HTTPStatus.NOT_FOUND)

        async def send_or_raise(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                error = BadRange() if message["status"] == HTTPStatus.BAD_REQUEST else RangeNotSatisfiable()
                length = Headers(raw=message["headers"]).get("content-range")
                error.headers = {"Content-Range": length} if length else None
                raise error
            await send(message)

        await super().__call__(scope, receive, send_or_raise)

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they come
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


def tell_what_is_sent(app: FastAPI, *, root: str) -> None:
    """Let the document say where tokens are and what needs one, and leave out what FastAPI adds and nobody sends.

    That is its own 422: where one can happen, its route documents ours; and null for a parameter or a body.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operation in (op for methods in document["paths"].values() for op in methods.values()):
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
                bodies = operation.get("requestBody", {}).get("content", {}).values()
                for described in (*operation.get("parameters", []), *bodies):
                    _leave_out_null(described["schema"])
                # Said of each operation: some tools take one that says nothing for a mistake, or for secured.
                operation["security"] = [*operation["security"], {"Bearer": []}] if "security" in operation else []
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            for schema in document["components"]["schemas"].values():
                _give_examples(schema)
            document["components"]["securitySchemes"] |= {"ScriptToken": _SCRIPT_TOKEN, "Bearer": _BEARER}
            _put_token_urls_below(root, document["components"]["securitySchemes"])
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token."}
_SCRIPT_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "A script's token, which `create_token` makes, for operations on tasks alone. "
    "`tasks:read`: every GET. `tasks:write`: every other method.",
}


def _give_examples(schema: dict[str, Any]) -> None:
    """Show the members of an object's example at its properties, too: many tools look there alone."""
    for name, value in schema.get("example", {}).items():
        if name in schema["properties"]:
            schema["properties"][name].setdefault("examples", [value])


def _put_token_urls_below(root: str, schemes: dict[str, Any]) -> None:
    for flow in (flow for scheme in schemes.values() for flow in scheme.get("flows", {}).values()):
        flow |= {name: root + flow[name] for name in ("tokenUrl", "refreshUrl") if name in flow}


def _leave_out_null(schema: dict[str, Any]) -> None:
    """Turn the schema of what is optional into that of its value."""
    match schema.get("anyOf"):
        case [value, {"type": "null"}]:
            del schema["anyOf"]
            schema |= value
            if "$ref" in schema:
                schema.pop("title")


def install_docs(app: FastAPI, *, root: str) -> None:
    """Serve /docs and /redoc over the app's own /openapi.json; a browser finds all of them below `root`."""
    package = find_spec("fastapi_standalone_docs")  # found, not imported: importing it patches FastAPI
    assert package is not None
    assert package.origin is not None
    static = Path(package.origin).parent / "static"
    pages = {
        "/docs": _page(root, f"{app.title}: try it", head=_SWAGGER_HEAD, body=_SWAGGER_BODY),
        "/redoc": _page(root, f"{app.title}: reference", head="", body=_REDOC_BODY),
    }
    for path, page in pages.items():
        app.add_route(path, _serve(page), include_in_schema=False)
    start = _SWAGGER_START.format(root=root)
    app.add_route("/docs/start.js", _serve(start, media_type="text/javascript"), include_in_schema=False)
    app.mount("/docs/assets", _Assets(directory=static), name="docs_assets")
    app.mount("/redoc", _Assets(directory=static / "redoc"), name="redoc_assets")  # its script asks for its logo here


def _page(root: str, title: str, *, head: str, body: str) -> str:
    return _PAGE.format(root=root, title=title, head=head.format(root=root), body=body.format(root=root))


def _serve(text: str, media_type: str = "text/html") -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        return Response(text, media_type=media_type, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    return show
