import io
import random
import zipfile

import numpy as np
import pytest
import torch

from smir.errors import CheckpointError
from smir.method.mask_table import MaskTable
from smir.method.patches import PatchGrid
from smir.runs.mask_files import load_arrays, load_masks, save_masks, save_scores

GRIDS = [PatchGrid(256, 256), PatchGrid(256, 341), PatchGrid(384, 256), PatchGrid(256, 512)]
ARRAYS = ("index", "shape", "num_patches", "bits")


def drawn(indices, seed=0):
    """Returns grids of different sizes, and a random mask for each image."""
    generator = torch.Generator().manual_seed(seed)
    grids = [GRIDS[index % len(GRIDS)] for index in indices]
    return grids, [torch.rand(len(grid), generator=generator) < 0.5 for grid in grids]


@pytest.fixture
def indices():
    return [3, 4, 10, 11, 25, 1000, 70_000]


@pytest.fixture
def table(indices):
    return MaskTable.pack(indices, *drawn(indices), 512)


def same(left, right):
    return (
        left.num_patches == right.num_patches
        and np.array_equal(left.indices, right.indices)
        and np.array_equal(left.shapes, right.shapes)
        and all(left.packed(index) == right.packed(index) for index in left.indices.tolist())
    )


def test_masks_of_different_sizes_are_restored(table, indices):
    assert len({len(grid) for grid in GRIDS}) > 2
    for index, grid, mask in zip(indices, *drawn(indices), strict=True):
        packed = table.packed(index)
        assert (packed.height, packed.width, packed.num_patches) == (grid.height, grid.width, 512)
        own_grid, own_mask = packed.unpack()
        assert (own_grid.row_edges, own_grid.col_edges) == (grid.row_edges, grid.col_edges)
        assert own_mask.dtype == torch.bool
        assert torch.equal(own_mask, mask)


@pytest.mark.parametrize("index", [0, 5, 69_999, 70_001, -1])
def test_an_image_without_a_mask_is_an_error(table, index):
    with pytest.raises(KeyError, match=str(index)):
        table.packed(index)


def test_the_state_is_restored_from_a_checkpoint(tmp_path, table):
    torch.save(table.state(), tmp_path / "state.ckpt")
    state = torch.load(tmp_path / "state.ckpt", weights_only=True)
    assert same(MaskTable.from_state(state), table)


def test_a_saved_table_is_loaded_unchanged(tmp_path, table):
    path = tmp_path / "masks" / "stage-01.npz"
    save_masks(path, table)
    assert same(load_masks(path), table)
    assert [entry.name for entry in path.parent.iterdir()] == ["stage-01.npz"]  # no temporary file is left


def test_saving_again_replaces_the_file(tmp_path, table):
    path = tmp_path / "masks.npz"
    save_masks(path, MaskTable.pack([0], *drawn([0]), 512))
    save_masks(path, table)
    assert same(load_masks(path), table)


def test_an_image_of_441_patches_takes_at_most_64_bytes(tmp_path):
    indices = list(range(5, 10_000, 10))
    grids = [GRIDS[0]] * len(indices)
    assert (len(indices), len(grids[0])) == (1000, 441)
    generator = torch.Generator().manual_seed(0)
    masks = [torch.randperm(441, generator=generator) < 220 for _ in indices]
    table = MaskTable.pack(indices, grids, masks, 512)
    save_masks(tmp_path / "masks.npz", table)
    assert (tmp_path / "masks.npz").stat().st_size <= 64 * len(indices)
    assert same(load_masks(tmp_path / "masks.npz"), table)


def test_scores_are_stored_image_by_image(tmp_path):
    scores = [torch.rand(4), torch.rand(7)]
    save_scores(tmp_path / "scores.npz", [2, 9], scores)
    arrays = load_arrays(tmp_path / "scores.npz", ("index", "length", "values"))
    assert arrays["index"].tolist() == [2, 9]
    first, second = np.split(arrays["values"], np.cumsum(arrays["length"])[:-1])
    np.testing.assert_array_equal(first, scores[0].numpy())
    np.testing.assert_array_equal(second, scores[1].numpy())


# Damaged and wrong files.


class Exploit:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ARRAYS)
def test_code_in_a_mask_file_is_not_executed(tmp_path, table, name):
    proof, path = tmp_path / "proof", tmp_path / "masks.npz"
    save_masks(path, table)
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = np.array([Exploit(proof)], dtype=object)
    np.savez(path, **arrays)
    with pytest.raises(CheckpointError, match=r"masks\.npz"):
        load_masks(path)
    assert not proof.exists()
    with np.load(path, allow_pickle=True) as file:  # the exploit works if pickles are allowed
        file[name][0].close()
    assert proof.exists()


def test_truncated_files_are_refused(tmp_path, table):
    path = tmp_path / "masks.npz"
    save_masks(path, table)
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"masks\.npz"):
            load_masks(path)


def test_damaged_files_are_refused_or_read_correctly(tmp_path, table):
    path = tmp_path / "masks.npz"
    save_masks(path, table)
    whole = path.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            assert same(load_masks(path), table)  # a byte that does not matter, such as in a date
        except CheckpointError:
            refused += 1
    assert refused > 50


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(5))
    return buffer.getvalue()


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("readme.txt", "nothing here")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"index,mask\n1,0101\n", npy(), archive()], ids=["empty", "text", "npy", "zip"]
)
def test_files_that_are_not_mask_tables_are_refused(tmp_path, content):
    path = tmp_path / "masks.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"masks\.npz"):
        load_masks(path)


@pytest.mark.parametrize(
    "change",
    [{"format": np.array(2)}, {"format": None}, {"bits": None}, {"format": np.array("new")}],
    ids=["newer", "no format", "no bits", "a word"],
)
def test_unknown_format_versions_and_missing_arrays_are_refused(tmp_path, table, change):
    path = tmp_path / "masks.npz"
    save_masks(path, table)
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(CheckpointError, match="format"):
        load_masks(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*stage-07\.npz"):
        load_masks(tmp_path / "stage-07.npz")
