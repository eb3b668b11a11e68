"""The peer of serve.py: LightGBM behind FastAPI, as one would write it for speed. $BENCH_MODEL names the model's file."""
import os

import lightgbm
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

app = FastAPI()
booster = lightgbm.Booster(model_file=os.environ["BENCH_MODEL"])


@app.post("/predict")
async def predict(request: Request):
    if request.headers["content-type"] == "application/octet-stream":
        x = np.frombuffer(await request.body(), np.float32).reshape(-1, 28)
        return Response(booster.predict(x, num_threads=1).astype(np.float32).tobytes(), media_type="application/octet-stream")
    tensor = (await request.json())["inputs"][0]
    x = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    p = booster.predict(x, num_threads=1)
    return JSONResponse({"model_name": "higgs", "outputs": [
        {"name": "predict", "shape": [len(p), 1], "datatype": "FP32", "data": p.tolist()}]})
