"""The audit: every way in, the card, and one clear line for every mistake."""

import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes import leaky_codes, perfect_codes
from rich.console import Console
from safetensors.numpy import save_file

from unbraid.card import Card, audit
from unbraid.errors import DataError, UserError
from unbraid.records import Score
from unbraid.tables import Codes

Z = perfect_codes().z
LABELS = {
    "scanner": np.array(["north", "east", "west", "south"])[perfect_codes().columns["domain"]],
    "shape": perfect_codes().columns["shape"],
    "flag": perfect_codes().columns["pose"] > 2,
    "age": perfect_codes().columns["age"],
}


def quick(codes=Z, labels=LABELS, **options) -> Card:
    return audit(codes, labels, **{"probes": ("linear",), **options})


def value(card: Card, metric: str, column: str) -> float:
    return next(one.value for one in card.scores if (one.metric, one.column) == (metric, column))


@pytest.fixture(scope="module")
def card() -> Card:
    return quick(domain="scanner")


def test_starts_quickly_without_torch():
    code = "import unbraid.card, sys; assert not {'torch', 'pandas', 'sklearn', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_linear_audit_never_imports_torch(tmp_path):
    np.savez(tmp_path / "labels.npz", **LABELS)
    np.save(tmp_path / "codes.npy", Z)
    code = (
        "import sys; from unbraid.card import audit\n"
        f"card = audit({str(tmp_path / 'codes.npy')!r}, {str(tmp_path / 'labels.npz')!r}, domain='scanner', "
        "probes=('linear',))\n"
        "card.render(); card.summary(); card.table; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_columns_find_their_roles(card):
    assert card.spec.domain == "scanner"
    assert card.spec.values["scanner"] == ("east", "north", "south", "west")
    assert card.spec.content == ("shape", "flag")
    assert card.spec.targets == ("age",)
    assert value(card, "leakage", "scanner") < 0.4
    assert value(card, "informativeness", "shape") > 0.9
    assert {one.metric for one in card.scores} == {"leakage", "informativeness", "retrieval"}


def test_drawn_split_is_stratified_and_repeatable(card):
    assert card.spec.num_train == 672
    assert card == quick(domain="scanner")
    assert card != quick(domain="scanner", seed=1)


def test_own_split_is_used():
    split = np.array(["train", "validation", "test", "train"])[np.arange(960) % 4]
    card = quick(labels={**LABELS, "split": split}, domain="scanner")
    assert card.spec.num_train == 480
    assert {one.num for one in card.scores} == {240}


def test_six_layer_probe():
    scores = audit(leaky_codes(), probes=["six-layer"], factors=["shape"]).scores
    assert [(one.metric, one.variant) for one in scores[:2]] == [
        ("informativeness", "six-layer"),
        ("leakage", "six-layer"),
    ]
    assert scores[1].value > 0.98


def test_codes_keep_their_roles_unless_told_otherwise():
    assert quick(perfect_codes(), None).spec == perfect_codes().spec
    spec = quick(perfect_codes(), None, domain="shape", factors=["pose", "age"]).spec
    assert (spec.domain, spec.content, spec.targets) == ("shape", ("pose",), ("age",))


def test_without_a_domain_everything_is_content():
    card = quick()
    assert {one.column for one in card.scores if one.metric == "informativeness"} == set(LABELS)
    assert not any(one.metric == "leakage" for one in card.scores)
    assert {one.variant for one in card.scores if one.metric == "retrieval"} == {"top-1, all"}


def test_circular_factors_and_margins_reach_retrieval():
    pose = {"pose": perfect_codes().columns["pose"]}
    one = quick(labels=pose, circular=["pose"], margins={"pose": 1}).scores[-1]
    assert one.chance == pytest.approx(3 / 5, abs=0.01)


@pytest.mark.parametrize("labels", [pd.DataFrame(LABELS), {key: list(cells) for key, cells in LABELS.items()}])
def test_kinds_of_tables(labels, card):
    assert quick(labels=labels, domain="scanner") == card


def _write_codes(path):
    frame = pd.DataFrame(Z, columns=[f"z{i}" for i in range(Z.shape[1])])
    writers = {
        ".npy": lambda: np.save(path, Z),
        ".npz": lambda: np.savez(path, codes=Z, other=Z[:3]),
        ".csv": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path),
        ".safetensors": lambda: save_file({"anything": Z}, path),
    }
    writers[path.suffix]()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".safetensors"])
def test_code_files(suffix, tmp_path, card):
    _write_codes(path := tmp_path / f"codes{suffix}")
    assert quick(path, domain="scanner").scores[0].value == card.scores[0].value


def test_code_files_without_heading(tmp_path, card):
    np.savetxt(tmp_path / "codes.csv", Z, delimiter=",")
    assert quick(str(tmp_path / "codes.csv"), domain="scanner").scores[0].value == card.scores[0].value


def test_own_code_files(tmp_path):
    perfect_codes().save(tmp_path / "codes.npz")
    assert quick(tmp_path / "codes.npz", None).spec == perfect_codes().spec


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_label_files(suffix, tmp_path, card):
    path, frame = tmp_path / f"labels{suffix}", pd.DataFrame(LABELS)
    {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path),
        ".npz": lambda: np.savez(path, **LABELS),
    }[suffix]()
    assert quick(labels=path, domain="scanner") == card


def test_card_as_table_and_files(card, tmp_path):
    headings = ["name", "column", "variant", "value", "low", "high", "chance", "direction", "note"]
    assert list(card.table.columns) == headings
    card.save(tmp_path / "card.csv")
    assert list(pd.read_csv(tmp_path / "card.csv")["value"]) == pytest.approx(list(card.table["value"]))
    card.save(tmp_path / "card.json")
    content = json.loads((tmp_path / "card.json").read_text())
    assert tuple(Score(**one) for one in content["scores"]) == card.scores
    assert content["summary"] == card.summary()
    with pytest.raises(UserError, match=r"\.json or \.csv, not as 'card.xls'"):
        card.save(tmp_path / "card.xls")


def test_card_for_the_terminal(card):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(card.render())
    text = console.export_text()
    assert "domain 'scanner'" in text
    assert "all at once" in text


def test_a_factor_of_one_value_is_noted_not_an_error():
    card = quick(labels={**LABELS, "empty": np.zeros(960, dtype=int), "row": np.arange(960)}, domain="scanner")
    notes = {one.column: one.note for one in card.scores if one.value is None}
    assert notes == {"empty": "one value only in the train split", "row": "960 values, but only 672 train rows"}


def _with(**columns) -> dict:
    return {**LABELS, **columns}


def _bad(row: int, number: float) -> np.ndarray:
    z = Z.copy()
    z[row:, 1] = number
    return z


ONE_ROW = np.where(np.arange(960) == 5, "lonely", "usual")
MISTAKES = {
    "nan": (_bad(17, np.nan), LABELS, {}, "row 17 of the codes holds NaN or infinity, as do 942 more"),
    "infinity": (_bad(958, np.inf), LABELS, {}, "row 958 of the codes holds NaN or infinity"),
    "beyond float32": (Z.astype(float) * 1e300, LABELS, {}, "row 0 of the codes holds NaN or infinity"),
    "constant": (np.ones((960, 3)), LABELS, {}, "all codes are the same"),
    "flat": (np.ones(960), LABELS, {}, r"N rows and D columns, not of shape \(960,\)"),
    "words": (np.array([["a"]]), LABELS, {}, "codes must be numbers"),
    "rows": (Z[:100], LABELS, {}, "100 codes, but 960 labels in column 'scanner'"),
    "no labels": (Z, None, {}, "without labels"),
    "no columns": (Z, {}, {}, "the labels have no column besides the split"),
    "two labels": (perfect_codes(), LABELS, {}, "bring their own labels"),
    "domain": (Z, LABELS, {"domain": "scaner"}, "no column 'scaner'. Did you mean 'scanner'"),
    "factor": (Z, LABELS, {"factors": ["shap"]}, "no column 'shap'. Did you mean 'shape'"),
    "circular": (Z, LABELS, {"circular": ["Flag"]}, "no column 'Flag'. Did you mean 'flag'"),
    "circular target": (Z, LABELS, {"circular": ["age"]}, "'age' holds real numbers and cannot be a circular factor"),
    "real domain": (Z, LABELS, {"domain": "age"}, "domain 'age' holds real numbers"),
    "probe": (Z, LABELS, {"probes": ["linaer"]}, "unknown probe 'linaer'. Did you mean 'linear'"),
    "one value": (Z, _with(site=np.zeros(960, dtype=int)), {"domain": "site"}, "domain 'site' has one value only"),
    "one row": (Z, _with(site=ONE_ROW), {"domain": "site"}, "domain 'site' has one row only of 'lonely'"),
    "many values": (Z, _with(site=np.arange(960)), {"domain": "site"}, "960 values, too many for 960 rows"),
    "few rows": (Z[:3], {"a": [0, 1, 0]}, {}, "3 rows are too few"),
    "missing": (Z, _with(site=[None] + ["x"] * 959), {}, "'site' has 1 missing values, first in row 0"),
    "infinite target": (Z, _with(site=_bad(9, np.inf)[:, 1]), {}, "'site' holds infinity, first in row 9"),
    "wide label": (Z, _with(site=Z), {}, "'site' must hold one value per row"),
    "split": (Z, _with(split=["train"] * 900 + ["tests"] * 60), {}, "column 'split' holds 'tests'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_answered_in_one_line(mistake):
    codes, labels, options, line = MISTAKES[mistake]
    with pytest.raises(UserError, match=line) as caught:
        quick(codes, labels, **options)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"no file .*codes\.npy"):
        quick(tmp_path / "codes.npy")
    with pytest.raises(UserError, match=r"cannot read 'codes\.txt': the name must end in one of \.npy"):
        quick(tmp_path / "codes.txt")
    with pytest.raises(UserError, match=r"cannot read 'labels\.xls'"):
        quick(labels=tmp_path / "labels.xls")
    for suffix in (".npy", ".npz", ".parquet", ".safetensors"):
        (path := tmp_path / f"damaged{suffix}").write_bytes(b"not an archive")
        with pytest.raises(DataError, match="is damaged or of another kind"):
            quick(path)
    np.savez(tmp_path / "many.npz", a=Z, b=Z)
    with pytest.raises(UserError, match="holds the arrays a, b; call the one to audit 'codes'"):
        quick(tmp_path / "many.npz")


def test_pickled_labels_are_never_run(tmp_path):
    np.savez(tmp_path / "labels.npz", shape=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="is damaged or of another kind"):
        quick(labels=tmp_path / "labels.npz")


def test_the_input_is_left_as_it_was():
    codes = perfect_codes()
    before = codes.z.copy()
    quick(codes, None)
    assert np.array_equal(codes.z, before)
    assert isinstance(codes, Codes)
    assert dataclasses.replace(codes).spec == perfect_codes().spec
