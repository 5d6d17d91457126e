import pytest
import torch

from smir.files import imagenet_weights
from smir.models import UNetStride4


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """The Python package of ImageNet weights, with weights of the tiny encoder."""
    package = tmp_path / "site/imagenet_of_tests"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    encoder = UNetStride4(1, "tu-test_efficientnet").encoder
    torch.save({f"encoder.{name}": value for name, value in encoder.state_dict().items()}, package / "models/x.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(imagenet_weights, "_PACKAGE", "imagenet_of_tests")
    monkeypatch.setattr(imagenet_weights, "ENCODER", "tu-test_efficientnet")
