"""The same API protected from inside: each token is shown to the issuer (RFC 7662). CACHE is for how many seconds an answer is believed; so long lives what was revoked."""
import hashlib
import os
import time

import httpx
from starlette.responses import JSONResponse

from api import create_api

URL = os.environ["INTROSPECTION_URL"]
CREDENTIALS = {"client_id": os.environ["CLIENT_ID"], "client_secret": os.environ["CLIENT_SECRET"]}
CACHE = float(os.environ.get("CACHE", "0"))
OPEN = {"/ping"}
SCOPES = {"/controlplane/manage": "Files.Read"}


class Introspect:
    def __init__(self, app):
        self.app = app
        self.client = httpx.AsyncClient(verify=os.environ.get("CA_FILE", True), timeout=5)
        self.known = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 4401})
        if scope["type"] != "http" or scope["path"] in OPEN:
            return await self.app(scope, receive, send)
        status, claims = await self.look(scope["headers"])
        wanted = SCOPES.get(scope["path"])
        if status == 200 and wanted is not None and wanted not in claims.get("scp", claims.get("scope", "")).split():
            status = 403
        if status != 200:
            headers = {"www-authenticate": "Bearer"} if status == 401 else {}
            return await JSONResponse({"error": "denied"}, status, headers)(scope, receive, send)
        scope.setdefault("state", {})["user"] = {name: claims.get(name) for name in ("oid", "tid", "name", "scp", "roles")}
        await self.app(scope, receive, send)

    async def look(self, headers):
        found = [value for name, value in headers if name == b"authorization"]
        if len(found) != 1 or found[0][:7].lower() != b"bearer ":
            return 401, None
        token = found[0][7:].decode("latin-1").strip()
        digest = hashlib.sha256(token.encode()).digest()
        until, claims = self.known.get(digest, (0, None))
        if time.monotonic() < until and time.time() < claims["exp"]:
            return 200, claims
        try:
            response = await self.client.post(URL, data={"token": token, **CREDENTIALS})
            response.raise_for_status()
            claims = response.json()
        except (httpx.HTTPError, ValueError):
            # Nobody knows: that is no reason to let anybody in.
            return 503, None
        if claims.get("active") is not True:
            return 401, None
        if CACHE > 0:
            if len(self.known) >= 10_000:
                self.known.clear()
            self.known[digest] = (time.monotonic() + CACHE, claims)
        return 200, claims


app = create_api()
app.add_middleware(Introspect)
