"""`model.pt2`: the network for torch alone, in Python or C++."""

from pathlib import Path

import torch
from torch.export import ExportedProgram

from smir.export.agreement import Exported

NAME, SCRIPT = "model.pt2", "run_pt2.py"


def write_pt2(folder: Path, program: ExportedProgram, settings: str) -> Path:
    """Writes `model.pt2`, with the settings as its extra file `smir.json`.

    Args:
        folder: Where to.
        program: What `export_program` returns.
        settings: JSON.

    Returns:
        The file.
    """
    path = folder / NAME
    torch.export.save(program, path, extra_files={"smir.json": settings})
    return path


def exported_pt2(path: Path) -> Exported:
    """The function that the file computes once it is read back."""
    network = torch.export.load(path).module()
    return lambda image: network(torch.from_numpy(image)).detach().numpy()
