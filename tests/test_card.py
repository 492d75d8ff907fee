"""The audit: every way in, the card, and one clear line for every mistake."""

import dataclasses
import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes import leaky_codes, perfect_codes
from rich.console import Console
from safetensors.numpy import save_file

from unbraid.card import Card, audit, score
from unbraid.errors import DataError, UserError
from unbraid.readers import read_codes
from unbraid.records import Score
from unbraid.tables import Codes

QUICK = ("leakage", "informativeness", "retrieval")  # no network is trained for these
Z = perfect_codes().z
LABELS = {
    "scanner": np.array(["north", "east", "west", "south"])[perfect_codes().columns["domain"]],
    "shape": perfect_codes().columns["shape"],
    "flag": perfect_codes().columns["pose"] > 2,
    "age": perfect_codes().columns["age"],
}


def quick(codes=Z, labels=LABELS, **options) -> Card:
    return audit(codes, labels, **{"metrics": QUICK, **options})


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
        "metrics=('leakage', 'informativeness', 'retrieval'))\n"
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
    scores = audit(leaky_codes(), metrics=["six-layer-probe"], factors=["shape"]).scores
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
    (leak,) = (one for one in card.scores if one.metric == "leakage")
    assert leak.value is None
    assert leak.note == "the data name no domain"
    assert not any("other domains" in one.variant for one in card.scores)


def test_circular_factors_and_margins_reach_retrieval():
    pose = {"pose": perfect_codes().columns["pose"]}
    one = quick(
        labels=pose, circular=["pose"], options={"retrieval": {"margins": {"pose": 1}}}, metrics=["retrieval"]
    ).scores[-1]
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
    assert {"name", "column", "variant", "value", "low", "high", "chance", "source"} < set(card.table.columns)
    card.save(tmp_path / "card.csv")
    assert list(pd.read_csv(tmp_path / "card.csv")["value"]) == pytest.approx(list(card.table["value"]))
    card.save(tmp_path / "card.json")
    content = json.loads((tmp_path / "card.json").read_text())
    assert tuple(Score(**one) for one in content["scores"]) == card.scores
    assert content["summary"] == card.summary()
    with pytest.raises(UserError, match=r"saved as \.html, .* not as 'card.xls'"):
        card.save(tmp_path / "card.xls")


def test_card_for_papers(card, tmp_path):
    for name in ("card.md", "card.tex"):
        card.save(tmp_path / name)
    lines = (tmp_path / "card.md").read_text().splitlines()
    assert len(lines) == len(card.scores) + 2
    assert len({line.count("|") for line in lines}) == 1
    table = (tmp_path / "card.tex").read_text()
    assert r"\toprule" in table
    assert r"95 \% interval" in table
    assert table.count(r"\\") == len(card.scores) + 1


def test_card_as_a_page(card, tmp_path):
    card.save(tmp_path / "card.html")
    page = (tmp_path / "card.html").read_text()
    assert all(sentence.replace("'", "&#39;") in page for sentence in card.summary())
    assert page.count('<th scope="row">') == len(card.scores)
    assert not re.search(r"(src|href)=.(?!#)", page)  # nothing is loaded
    assert "<table" in card._repr_html_()


def test_card_for_the_terminal(card):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(card.render())
    text = console.export_text()
    assert "domain 'scanner'" in text
    assert "all 2" in text


def test_a_factor_of_one_value_is_noted_not_an_error():
    card = quick(labels={**LABELS, "empty": np.zeros(960, dtype=int), "row": np.arange(960)}, domain="scanner")
    undefined = [one for one in card.scores if one.value is None and one.metric == "informativeness"]
    notes = {one.column: one.note for one in undefined}
    assert notes == {"empty": "one value only in the train split", "row": "960 values, but only 672 train rows"}


def test_missing_values_leave_their_rows_out_of_one_column():
    shape = pd.Series(LABELS["shape"]).where(np.arange(960) % 10 > 0)  # integers with holes
    age = np.where(np.arange(960) % 4, LABELS["age"], np.nan)
    scanner = pd.Series(LABELS["scanner"]).where(np.arange(960) != 7)
    card = quick(labels={"scanner": scanner, "shape": shape, "age": age}, domain="scanner")
    assert card.missing == {"scanner": 1, "shape": 96, "age": 240}
    assert card.spec.values["shape"] == ("0", "1", "2")
    assert any("'age' has 240 missing values" in sentence for sentence in card.summary())
    assert value(card, "informativeness", "shape") > 0.9


def test_the_row_numbers_that_pandas_writes_are_no_column(tmp_path, card):
    pd.DataFrame(LABELS).to_csv(tmp_path / "labels.csv")
    pd.DataFrame(Z).to_csv(tmp_path / "codes.csv")
    assert quick(tmp_path / "codes.csv", tmp_path / "labels.csv", domain="scanner").spec.sizes == card.spec.sizes


def test_single_scores():
    (one, *_) = score(Z, LABELS, "leakage", domain="scanner")
    assert (one.metric, one.column) == ("leakage", "scanner")
    assert score(perfect_codes(), None, ["leakage"]) == score(perfect_codes(), None, "leakage")


def test_logits_beside_codes(tmp_path):
    np.savez(tmp_path / "codes.npz", codes=Z, logits=np.eye(3)[LABELS["shape"]])
    assert read_codes(tmp_path / "codes.npz", LABELS, label="shape").logits.shape == (960, 3)
    with pytest.raises(UserError, match="3 columns, but label 'flag' has 2 values"):
        read_codes(tmp_path / "codes.npz", LABELS, label="flag")
    np.savez(tmp_path / "codes.npz", codes=Z, logits=np.zeros((5, 3)))
    with pytest.raises(UserError, match="960 codes, but 5 rows of logits"):
        read_codes(tmp_path / "codes.npz", LABELS)


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
    "metric": (Z, LABELS, {"metrics": ["leekage"]}, "unknown metric 'leekage'. Did you mean 'leakage'"),
    "real label": (Z, LABELS, {"label": "age"}, "label 'age' holds real numbers"),
    "one value": (Z, _with(site=np.zeros(960, dtype=int)), {"domain": "site"}, "domain 'site' has one value only"),
    "one row": (Z, _with(site=ONE_ROW), {"domain": "site"}, "domain 'site' has one row only of 'lonely'"),
    "many values": (Z, _with(site=np.arange(960)), {"domain": "site"}, "960 values, too many for 960 rows"),
    "few rows": (Z[:3], {"a": [0, 1, 0]}, {}, "3 rows are too few"),
    "empty": (Z, _with(site=[None] * 960), {}, "column 'site' holds no value at all"),
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
