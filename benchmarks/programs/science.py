"""A program that is worked on: `apothic dev science.py`, or `uvicorn --reload science:web`."""

import numpy as np
import pandas as pd
from apothic import App
from fastapi import FastAPI

app = App("science")
web = FastAPI()

VERSION = "0"


@web.get("/")
async def version():
    return {"version": VERSION, "sum": int(pd.Series(np.arange(3)).sum())}


@app.asgi()
def serve():
    return web
