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
    """Writes `model.onnx`, with the settings as its metadata under the name `smir`.

    Args:
        folder: Where to.
        program: What `export_program` returns.
        settings: JSON.

    Returns:
        The file.

    Raises:
        CheckpointError: If an operation has no counterpart in ONNX, or the file would have 2 GB or more.
    """
    path = folder / NAME
    try:
        with _quiet():
            converted = torch.onnx.export(program, dynamo=True, input_names=["image"], output_names=["logits"])
            assert converted is not None
            model = converted.model_proto
        _name_dimensions(model)
        onnx.helper.set_model_props(model, {"smir": settings})
        onnx.checker.check_model(model)
        content = model.SerializeToString()
    except Exception as error:  # the converter has an error of its own for each of its steps
        raise CheckpointError(f"The network cannot be converted to ONNX: {str(error)[:300]}") from error
    write_atomically(path, content)
    return path


@contextlib.contextmanager
def _quiet() -> Any:
    """Holds back what the converter tells of its steps; its errors come as exceptions."""
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
    """Says `batch`, `height` and `width` where the tracer says `s40`."""
    for value in (*model.graph.input, *model.graph.output):
        names = {0: "batch", 2: "height", 3: "width"}
        for place, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_param:
                dimension.dim_param = names[place]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Opens the file with ONNX Runtime on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def exported_onnx(session: onnxruntime.InferenceSession) -> Exported:
    """The function that a session computes."""
    return lambda image: session.run(["logits"], {"image": image})[0]
