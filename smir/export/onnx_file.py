"""`model.onnx`: the network for ONNX Runtime, TensorRT, OpenVINO and their kind."""

import contextlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch.export import ExportedProgram

from smir.errors import CheckpointError
from smir.export.agreement import Exported
from smir.files.atomic import write_atomically
from smir.terminal import quiet

NAME, SCRIPT = "model.onnx", "run_onnx.py"


def write_onnx(folder: Path, program: ExportedProgram, settings: str) -> Path:
    """Writes `model.onnx`, with the settings (JSON) as its metadata under the name `smir`, and returns its path.

    Raises:
        CheckpointError: If an operation has no counterpart in ONNX, or the file would have 2 GB or more.
    """
    try:
        with _quiet():
            converted = torch.onnx.export(program, dynamo=True, input_names=["image"], output_names=["logits"])
            assert converted is not None
            model = converted.model_proto
        _name_dimensions(model)
        onnx.helper.set_model_props(model, {"smir": settings})
        onnx.checker.check_model(model)
        content = model.SerializeToString()
    except Exception as error:  # each step of the converter raises another kind
        raise CheckpointError(f"The network cannot be converted to ONNX: {str(error)[:300]}") from error
    write_atomically(folder / NAME, content)
    return folder / NAME


@contextlib.contextmanager
def _quiet() -> Any:
    """Silences the converter; its errors come as exceptions."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with (
            quiet(),
            contextlib.redirect_stdout(io.StringIO()),
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def _name_dimensions(model: onnx.ModelProto) -> None:
    """Renames dimensions from `s40` and the like to `batch`, `height` and `width`."""
    names = {0: "batch", 2: "height", 3: "width"}
    for value in (*model.graph.input, *model.graph.output):
        for place, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_param:
                dimension.dim_param = names[place]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Opens the file with ONNX Runtime on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def exported_onnx(session: onnxruntime.InferenceSession) -> Exported:
    """Returns a session as a function."""
    return lambda image: session.run(["logits"], {"image": image})[0]
