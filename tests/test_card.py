"""The audit: every way in, the card, and one clear line for every mistake."""

import dataclasses
import decimal
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

from unbraid.card import Card, audit, check_format, score
from unbraid.errors import DataError, UserError
from unbraid.readers import read_codes
from unbraid.records import Score
from unbraid.report.card import Paragraph, _paragraphs, _text, grouped
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
    above, table = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert above[0] == "- codes: 960 rows x 4 dimensions"
    assert len(table) == len(card.scores) + 2
    assert len({line.count("|") for line in table}) == 1
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


def _read_as(cells, rows: int = 960) -> tuple[str, ...] | None:
    """The values of a column of labels, None if it is a target."""
    cells = cells.iloc[np.arange(rows) % len(cells)] if isinstance(cells, pd.Series) else cells
    return read_codes(np.random.default_rng(0).normal(size=(rows, 2)), {"f": cells}).spec.values.get("f")


SIZES = pd.CategoricalDtype(["small", "medium", "large", "none"], ordered=True)
KINDS = {
    "objects": (pd.Series([2, 10, 1], dtype=object), ("1", "2", "10")),
    "objects with holes": (pd.Series([2, 10, None], dtype=object), ("2", "10")),
    "ordered": (pd.Series(["large", "small", None, "medium"], dtype=SIZES), ("small", "medium", "large")),
    "categories of numbers": (pd.Series([10, 2], dtype=pd.CategoricalDtype([10, 2])), ("10", "2")),
    "whole": (pd.Series([2.0, 10.0]), ("2", "10")),
    "whole with holes": (pd.Series([2.0, 10.0, np.nan]), ("2", "10")),
    "real": (pd.Series([2.5, 10.0]), None),
    "real with holes": (pd.Series([2.5, 10.0, np.nan], dtype=np.float32), None),
    "real objects": (pd.Series([2.5, 10, None], dtype=object), None),
    "decimals": (pd.Series([decimal.Decimal("2.5"), None]), None),
    "beyond integers": (pd.Series([1e30, 0.0]), None),
    "flags with holes": (pd.Series([True, None, False], dtype=object), ("False", "True")),
    "empty strings": (pd.Series(["b", "", " ", "a"]), ("a", "b")),
    "empty strings of objects": (pd.Series([3, "", 20], dtype=object), ("3", "20")),
    "empty category": (pd.Series(["b", "", "a"], dtype="category"), ("a", "b")),
    "array": (np.resize(["b", "", "a"], 960), ("a", "b")),
    "list": ([["b", float("nan"), "a"][i % 3] for i in range(960)], ("a", "b")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_how_a_column_is_read(kind):
    cells, values = KINDS[kind]
    assert _read_as(cells) == values


def test_values_of_a_categorical_column_keep_their_rows():
    codes = read_codes(Z, {"f": pd.Series(np.resize(["large", "small", None], 960), dtype=SIZES)})
    assert codes.columns["f"][:3].tolist() == [1, 0, -1]


def test_rows_without_a_domain_are_a_stratum():
    z, site = np.arange(20.0).reshape(10, 2) % 7, [*"aaabbbcc", None, None]
    with pytest.raises(UserError, match="has 3 values and rows without one, too many for 10 rows"):
        read_codes(z, {"site": site}, domain="site")
    codes = read_codes(np.tile(z, (4, 1)), {"site": site * 4}, domain="site")
    assert set(codes.rows("test").columns["site"]) == {-1, 0, 1, 2}


def test_float64_codes_that_float32_can_hold():
    assert read_codes(np.float64(np.float32(1) + Z * 1e-9), LABELS).z.shape == Z.shape  # a collapsed code is no mistake
    assert read_codes(Z + 100.0, LABELS).z.shape == Z.shape


def test_one_name_for_several():
    assert quick(factors="shape", circular="shape", metrics="leakage", domain="scanner").spec.factors == ("shape",)


def test_numbered_columns():
    card = quick(labels=pd.DataFrame({0: LABELS["scanner"], 1: LABELS["shape"]}), domain=0, factors=[1])
    assert (card.spec.domain, card.spec.content) == ("0", ("1",))


def test_the_card_says_what_it_was_computed_on(card, tmp_path):
    holes = {**LABELS, "shape": np.where(np.arange(960) % 10, LABELS["shape"], np.nan)}
    one = quick(labels=holes, domain="scanner", circular="shape", seed=3)
    assert one.data == {
        "codes": "960 rows x 4 dimensions",
        "split": "672 train, 288 test; it is drawn with seed 3, 30 % for the test, alike in each 'scanner'",
        "seed": "3, of the probes and the intervals",
        "domain": "scanner (4 values)",
        "factors (categories)": "shape (3 values, circular), flag (2 values)",
        "targets (real numbers)": "age",
        "missing values": "shape 96",
    }
    split = np.resize(["train", "test"], 960)
    assert quick(labels={**LABELS, "split": split}).data["split"] == "480 train, 480 test; it is the labels' own column"
    assert quick(perfect_codes(), None).data["split"].endswith("it comes with the codes")
    one.save(tmp_path / "card.html")
    assert "<dt>missing values</dt><dd>shape 96</dd>" in (tmp_path / "card.html").read_text()
    one.save(tmp_path / "CARD.JSON")
    assert json.loads((tmp_path / "CARD.JSON").read_text())["data"] == one.data


def test_rows_name_their_split():
    score = Score(metric="m", value=0.5, higher_is_better=True, split="train", num=7)
    assert [row.cells[7] for row in grouped([score])["m"]] == ["7 train"]


def test_the_page_explains_the_six_layer_probe_and_what_is_said_elsewhere(tmp_path):
    audit(leaky_codes(), metrics=["six-layer-probe", "dci-lasso"], factors=["shape"]).save(tmp_path / "card.html")
    page = (tmp_path / "card.html").read_text()
    assert page.count("<h3>six-layer-probe</h3>") == 2  # under leakage and under informativeness
    assert "<p><code>dci</code>:</p>" in page
    assert "As `" not in page


def test_a_reference_is_replaced_by_what_it_refers_to():
    known = {"a": {"Range": "0 to 1,\nup"}, "b": {"Formula": "x\n y", "Range": "2"}}
    assert _paragraphs("Range", "As `a`.", known) == [Paragraph(["", "a", ":"]), Paragraph(["0 to 1, up"])]
    assert len(_paragraphs("Range", "As `a`, `b`.", known)) == 4
    assert _paragraphs("Formula", "As `b`, z", known)[-1] == Paragraph(["x\n y"], formula=True)
    assert _paragraphs("Range", "As `c`.", known) == [Paragraph(["As ", "c", "."])]
    assert _paragraphs("", "one\ntwo\n\nthree `x`", known) == [
        Paragraph(["one two"]), Paragraph(["three ", "x", ""])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.00123456, "0.00123"),
        (-1e-17, "0.000"),
        (-0.0, "0.000"),
        (0.05, "0.050"),
        (-2e-5, "-2.00e-05"),
        (123.4, "123"),
    ],
)
def test_numbers(number, text):
    assert _text(number) == text


def test_a_total_of_one_factor_is_not_repeated():
    facts = {"metric": "m", "value": 0.5, "higher_is_better": True}
    column, total = Score(**facts, column="shape", variant="C"), Score(**facts, over=("shape",), variant="C")
    alone = Score(**facts, over=("shape",), variant="D")
    card = dataclasses.replace(quick(metrics=["leakage"]), scores=(total, alone, column))
    assert list(card.table["column"]) == ["shape", "shape"]
    assert sorted(row.cells[1:3] for row in grouped(card.scores)["m"]) == [("shape", "C"), ("shape", "D")]
    assert len(card.to_dict()["scores"]) == 3


def test_a_column_name_of_two_lines_breaks_no_table(tmp_path):
    card = quick(labels={"two\nlines": LABELS["shape"]}, metrics=["leakage", "informativeness"])
    for name in ("card.md", "card.tex"):
        card.save(tmp_path / name)
        assert "two lines" in (tmp_path / name).read_text()
    assert "two\nlines" not in (tmp_path / "card.md").read_text()


def test_places_where_no_card_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    for name, line in (("folder.html", "is a folder"), ("file/card.html", "file is a file")):
        with pytest.raises(UserError, match=line):
            check_format(tmp_path / name)
    check_format(tmp_path / "new" / "card.HTML")


def test_places_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # the superuser may write anywhere
    with pytest.raises(UserError, match=r"cannot write .*card\.md: no permission to write in"):
        check_format(tmp_path / "card.md")


def test_a_heading_that_occurs_twice(tmp_path):
    (tmp_path / "labels.csv").write_text("f,f\n1,2\n")
    with pytest.raises(UserError, match=r"labels\.csv: there are two columns 'f'; rename one"):
        quick(labels=tmp_path / "labels.csv")


def test_suffixes_in_capitals(tmp_path):
    np.save(path := tmp_path / "codes.npy", Z)
    path.rename(tmp_path / "CODES.NPY")
    assert read_codes(tmp_path / "CODES.NPY", LABELS).z.shape == Z.shape


def test_bfloat16_is_named(tmp_path):
    header = b'{"z":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    (tmp_path / "z.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(DataError, match="tensor 'z' is bfloat16"):
        quick(tmp_path / "z.safetensors")


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
    "flat": (np.ones(960), LABELS, {}, r"N rows and D columns, not of shape \(960,\); give codes.reshape\(960, -1\)"),
    "three axes": (np.ones((960, 2, 5)), LABELS, {}, r"not of shape \(960, 2, 5\); give codes.reshape\(960, -1\)"),
    "one number": (np.float32(3), LABELS, {}, r"not of shape \(\)$"),
    "transposed": (Z.T, LABELS, {}, "match the rows, or transpose the codes"),
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
    "nested label": (Z, _with(site=Z.tolist()), {}, "'site' must hold one value per row"),
    "single label": (Z, _with(site=3), {}, "'site' must hold one value per row"),
    "blank": (Z, _with(site=[" "] * 960), {}, "column 'site' holds no value at all"),
    "complex": (Z + 1j, LABELS, {}, "codes must be real numbers, not complex"),
    "offset": (Z.astype(float) * 1e-4 + 1e6, LABELS, {}, "column 0 of the codes varies by .* subtract the mean"),
    "a series": (Z, pd.Series(LABELS["shape"]), {}, "data frame or a mapping .*, not of type Series; of one"),
    "a frame with one name twice": (
        Z,
        pd.DataFrame(np.zeros((960, 2)), columns=["f", "f"]),
        {},
        "there are two columns 'f'; rename one",
    ),
    "option": (Z, LABELS, {"options": {"retrieval": {"kk": 3}}}, "retrieval has no option 'kk'; it takes"),
    "option of none": (Z, LABELS, {"options": {"mig": {"nbins": 3}}}, "mig has no option 'nbins'"),
    "option of a typo": (Z, LABELS, {"options": {"miq": {}}}, "unknown metric 'miq'. Did you mean 'mig'"),
    "seed": (Z, LABELS, {"seed": -1}, "seed must be at least 0, not -1"),
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
    with pytest.raises(UserError, match=r"'labels\.npy' has no names of columns; np\.savez"):
        quick(labels=tmp_path / "labels.npy")
    for suffix in (".npy", ".npz", ".parquet", ".safetensors"):
        (path := tmp_path / f"damaged{suffix}").write_bytes(b"not an archive")
        with pytest.raises(DataError, match="is damaged or of another kind"):
            quick(path)
    np.savez(tmp_path / "many.npz", a=Z, b=Z)
    with pytest.raises(UserError, match="holds the arrays a, b; call the one to audit 'codes'"):
        quick(tmp_path / "many.npz")


def test_codes_that_were_encoded_without_labels_take_a_table(tmp_path):
    codes = perfect_codes()
    spec = dataclasses.replace(codes.spec, sizes={}, values={}, factors=(), targets=(), domain=None, label=None)
    spec = dataclasses.replace(spec, circular=frozenset())
    dataclasses.replace(codes, spec=spec, columns={}).save(tmp_path / "codes.npz")
    with pytest.raises(UserError, match="no column 'scanner': these codes bring no labels; give a table"):
        quick(tmp_path / "codes.npz", None, domain="scanner")
    assert quick(tmp_path / "codes.npz", LABELS, domain="scanner").scores


def test_a_card_shows_its_sentences():
    card = quick(Z, LABELS)
    assert repr(card).splitlines() == [
        f"Card of {card.title}: {len(card.scores)} scores; .table, .summary(), .save('card.html')",
        *card.summary(),
    ]


def test_pickled_labels_are_never_run(tmp_path):
    np.savez(tmp_path / "labels.npz", shape=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"array 'shape' holds Python objects.* save the strings with \.astype"):
        quick(labels=tmp_path / "labels.npz")
    np.save(tmp_path / "codes.npy", np.array([["a"]], dtype=object))
    with pytest.raises(DataError, match="the array holds Python objects"):
        quick(tmp_path / "codes.npy")


def test_the_input_is_left_as_it_was():
    codes = perfect_codes()
    before = codes.z.copy()
    quick(codes, None)
    assert np.array_equal(codes.z, before)
    assert isinstance(codes, Codes)
    assert dataclasses.replace(codes).spec == perfect_codes().spec
