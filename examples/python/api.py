"""A sample API: GET /ping is open, GET /controlplane/manage is for whoever the guard in front of it let in."""
from fastapi import FastAPI, Request


def create_api() -> FastAPI:
    api = FastAPI()

    @api.get("/ping")
    def ping():
        return {"status": "ok"}

    @api.get("/controlplane/manage")
    def manage(request: Request):
        return {"user": request.state.user}

    return api
