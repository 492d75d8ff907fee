"""Surrogate labels, the leaf MIG against the published value, and leaf runs brought to one set of labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_networks import FakeVAE, factor_dataset

from unbraid.errors import DataError, UserError
from unbraid.metrics.information import normalised_gap
from unbraid.metrics.udr import gaussian_kl
from unbraid.population.merging import align, merge, rank_correlation
from unbraid.population.posteriors import learned, posterior, posteriors
from unbraid.population.surrogate import Block, Bundle, Labels, draw, leaf_information, leaf_mig, surrogate_labels

GOLDEN = Path(__file__).parents[1] / "golden"
LEAF = np.load(GOLDEN / "leaf_inputs.npz")
WEIGHTS = np.array(json.loads((GOLDEN / "leaf.json").read_text())["weights"])


def golden_bundle() -> Bundle:
    return Bundle((Block(np.arange(400), LEAF["L0"]), Block(LEAF["idx"], LEAF["L1"])))


def test_published_leaf_mig() -> None:
    codes = LEAF["D0"] @ WEIGHTS
    drawn = draw(golden_bundle(), 200, seed=0)
    assert leaf_mig(lambda rows: codes[rows], [drawn]) == pytest.approx(0.15567106, abs=1e-7)
    parts = [codes[block.rows] for block in drawn.blocks]
    gaps = normalised_gap(*leaf_information(parts, [block.labels for block in drawn.blocks]))
    assert gaps.mean() == pytest.approx(0.13117618, abs=1e-7)


def test_leaf_mig_is_the_median_over_bundles_and_encodes_each_row_once() -> None:
    codes, asked = LEAF["D0"] @ WEIGHTS, []

    def encode(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return codes[rows]

    blocks = golden_bundle().blocks
    bundles = [Bundle(blocks[:1]), Bundle(blocks[1:]), Bundle(blocks)]
    single = [leaf_mig(lambda rows: codes[rows], [one]) for one in bundles]
    assert leaf_mig(encode, bundles) == np.median(single)
    assert [len(np.unique(rows)) for rows in asked] == [len(rows) for rows in asked] == [400]


def test_bundles_come_back_and_published_ones_are_read(tmp_path: Path) -> None:
    bundle = golden_bundle()
    bundle.save(tmp_path / "ours.npz")
    chain = {"labels_0": LEAF["L0"], "labels_1": LEAF["L1"], "indices_0": LEAF["idx"], "indices_1": np.zeros(1)}
    np.savez_compressed(tmp_path / "published.npz", **chain)
    for name in ("ours", "published"):
        for one, other in zip(Bundle.load(tmp_path / f"{name}.npz").blocks, bundle.blocks, strict=True):
            assert (one.rows == other.rows).all()
            assert (one.labels == other.labels).all()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_damaged_bundles(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bundle.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="no surrogate labels"):
        Bundle.load(path)


def test_bundles_of_wrong_shapes(tmp_path: Path) -> None:
    np.savez(tmp_path / "short.npz", labels_0=np.zeros((5, 2)), rows_0=np.arange(4))
    np.savez(tmp_path / "none.npz", codes=np.zeros((5, 2)))
    for name in ("short", "none"):
        with pytest.raises(DataError, match="no surrogate labels"):
            Bundle.load(tmp_path / f"{name}.npz")


def test_learned_dimensions_against_loops() -> None:
    rng = np.random.default_rng(0)
    means, log_variances = rng.normal(size=(70, 5)), rng.normal(-1.5, 2.0, size=(70, 5))
    kl = []
    for start in range(0, 70, 32):  # the last batch has six rows, and counts as much
        mean, log_sigma = means[start : start + 32], log_variances[start : start + 32] / 2
        size = np.abs(log_sigma.mean(axis=0))
        kl.append(((mean**2 + np.exp(size) - size - 1) / 2).mean(axis=0))
    assert (learned(means, log_variances) == (np.mean(kl, axis=0) > 1)).all()
    assert (learned(means, log_variances, "fixed") == (gaussian_kl(means, log_variances) > 1)).all()


def test_labels_are_the_means_of_learned_dimensions(tmp_path: Path) -> None:
    dataset = factor_dataset()
    network = FakeVAE(np.diag([0.01, 0.0, 0.02, 0, 0, 0])[None, :, :3], np.array([0.01, 1.0, 0.02]))
    labels = surrogate_labels(network, dataset.images)
    assert labels.dimensions.tolist() == [0, 2]
    expected = dataset.images[:, 0, :3, 0] * np.array([0.01, 0.0, 0.02])
    assert labels.values == pytest.approx(expected[:, [0, 2]], rel=1e-5)
    labels.save(tmp_path / "labels.npz")
    back = Labels.load(tmp_path / "labels.npz")
    assert (back.values == labels.values).all()
    assert (back.dimensions == labels.dimensions).all()


def test_methods_that_cannot_be_asked() -> None:
    from unbraid.methods import method

    dataset = factor_dataset()
    kind = method("untrained")
    plain = kind(kind.config_class(), factor_dataset().spec)
    with pytest.raises(UserError, match="take a VAE"):
        posterior(plain, dataset.images)
    for one in (plain, FakeVAE(np.eye(6)[None], np.ones(6))):
        with pytest.raises(UserError, match="num_models=5"):
            posteriors(one, dataset.images)


def test_alignment_of_permuted_and_flipped_factors() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (500, 3)) + rng.normal(0, 0.05, (500, 3))
    second = np.stack([-3 * truth[:, 2], rng.normal(size=500), np.exp(truth[:, 0])], axis=1)
    third = np.stack([-truth[:, 1]], axis=1)
    found = align([truth, second, third])
    assert [one.tolist() for one in found.factor] == [[0, 1, 2], [2, 3, 0], [1]]
    assert [one.tolist() for one in found.sign] == [[1, 1, 1], [-1, 1, 1], [-1]]
    assert found.num_factors == 4
    assert found.agreement[1] == pytest.approx([1, 1, 1], abs=1e-9)


def test_rank_correlation_against_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 2)), rng.integers(0, 3, (50, 3)).astype(float)
    expected = [[spearmanr(x, y).statistic for y in b.T] for x in a.T]
    assert rank_correlation(a, b) == pytest.approx(np.array(expected))
    assert (rank_correlation(a, np.ones((50, 1))) == 0).all()


def test_alignment_needs_the_same_rows() -> None:
    with pytest.raises(UserError, match="same rows"):
        align([np.zeros((5, 1)), np.zeros((4, 1))])


def test_merged_leaf_runs_that_found_the_same_with_other_sign_and_scale() -> None:
    """Two leaf runs learn f1 and f2 on rows of their own, one of them the other way round."""
    dataset = factor_dataset()
    pixels = dataset.images[:, 0, :3, 0].astype(np.float64)
    low, high = (np.flatnonzero(dataset.columns["f0"] == value) for value in (0, 1))
    shared = np.concatenate([low, high])
    swapped = np.stack([5 - 0.1 * pixels[:, 2], 7 * pixels[:, 1]], axis=1)
    bundles = [Bundle((Block(low, pixels[low][:, 1:]),)), Bundle((Block(high, swapped[high]),))]
    merged = merge(bundles, [pixels[shared][:, 1:], swapped[shared]])
    assert len(merged.blocks) == 2
    for block, factor in zip(merged.blocks, ("f1", "f2"), strict=True):
        assert (block.rows == np.sort(shared)).all()
        order = np.argsort(dataset.columns[factor][block.rows], kind="stable")
        steps = block.labels[order, 0]
        assert np.corrcoef(steps, dataset.columns[factor][block.rows][order])[0, 1] > 0.99
    assert leaf_mig(lambda rows: pixels[rows], [merged]) > 0.9


def test_merging_takes_the_mean_where_runs_overlap() -> None:
    rows, label = np.arange(30), np.random.default_rng(0).normal(size=(30, 1))
    bundles = [Bundle((Block(rows, label),)), Bundle((Block(rows[10:], label[10:]),))]
    merged = merge(bundles, [label, label])
    assert len(merged.blocks) == 1
    assert merged.blocks[0].rows.tolist() == rows.tolist()
    assert merged.blocks[0].labels == pytest.approx((label - label.mean()) / label.std())
