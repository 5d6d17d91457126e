"""`model.onnx`: the network for ONNX Runtime, TensorRT, OpenVINO and similar programs."""

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

from smir.errors import CheckpointError, ConfigError
from smir.export.agreement import ExportedNetwork
from smir.files.atomic import write_atomically
from smir.terminal import quiet

NAME, SCRIPT = "model.onnx", "run_onnx.py"
FIRST_OPSET = 18
"""The first one that torch's converter writes; it has no step back from it for the upsampling of a U-Net."""


def write_onnx(
    path: Path, program: ExportedProgram, metadata: dict[str, str], opset: int | None = None, output: str = "logits"
) -> int:
    """Writes a program as an ONNX file, with texts by name as metadata; the settings (JSON) have the name `smir`.

    `output` is the name of the network's output.

    Returns:
        The opset of the file: `opset`, or torch's own if that is None.

    Raises:
        CheckpointError: If an operation has no counterpart in ONNX, in this opset, or the file would have 2 GB or more.
    """
    try:
        with _quiet():
            converted = torch.onnx.export(
                program, dynamo=True, input_names=["image"], output_names=[output], opset_version=opset
            )
            assert converted is not None
            model = converted.model_proto
        found: int = next(entry.version for entry in model.opset_import if not entry.domain)
        assert opset in (None, found), f"the converter gives opset {found}"  # it only warns about that
        _name_dimensions(model)
        onnx.helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        content = model.SerializeToString()
    except Exception as error:  # each step of the converter raises another kind
        version = "" if opset is None else f" of opset {opset}"
        other = "" if opset is None else " Give another --opset, or leave it out."
        raise CheckpointError(
            f"The network cannot be converted to ONNX{version}: {str(error)[:300]}.{other}"
        ) from error
    write_atomically(path, content)
    return found


def check_opset(opset: int) -> None:
    """Raises ConfigError if the installed ONNX has no such opset."""
    last = onnx.defs.onnx_opset_version()
    if not FIRST_OPSET <= opset <= last:
        raise ConfigError(
            f"--opset is from {FIRST_OPSET} to {last}, the last one of onnx {onnx.__version__}; got {opset}."
        )


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


def exported_onnx(session: onnxruntime.InferenceSession) -> ExportedNetwork:
    """Returns a session as a function."""
    return lambda image: session.run(["logits"], {"image": image})[0]
