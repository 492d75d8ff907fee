"""From an image to answers, without a page: probes, neighbours, swaps, sliders, and what is refused."""

import dataclasses
import re
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
from fake_explorer import DATA, explorer
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unbraid import checkpoint
from unbraid.cli import main
from unbraid.config import RunConfig
from unbraid.data.pictures import from_pixels
from unbraid.encode import encode_dataset
from unbraid.encoder import build, load_data
from unbraid.errors import UserError
from unbraid.explore import words
from unbraid.explore.app import check_address
from unbraid.explore.explorer import (
    answers,
    labels,
    leakage,
    neighbours,
    open_run,
    random_image,
    read_pixels,
    swap,
    traverse,
)
from unbraid.explore.heads import fit_heads
from unbraid.metrics.retrieval import neighbours as nearest
from unbraid.records import RunDir, write_json
from unbraid.tables import Codes


@pytest.fixture(scope="module")
def vae():
    return explorer("beta-vae", swaps=False)


def clouds(num_values: int) -> Codes:
    """Codes of 300 rows about as many centres as a column has values, and a target that goes with them."""
    rng = np.random.default_rng(num_values)
    shape = rng.integers(num_values, size=300)
    z = (rng.normal(size=(num_values, 6))[shape] + 0.8 * rng.normal(size=(300, 6))).astype(np.float32) * 3 + 1
    target = (2 * z[:, 0] - z[:, 3] + rng.normal(size=300)).astype(np.float32)
    spec = dataclasses.replace(DATA.spec, sizes={"shape": num_values}, factors=("shape",), targets=("t",), domain=None,
                               label=None, bias=None)  # fmt: skip
    split = np.repeat(np.array([0, 2], dtype=np.uint8), [200, 100])
    return Codes(spec=spec, z=z, columns={"shape": shape, "t": target}, split=split)


@pytest.mark.parametrize("num_values", [2, 3, 7])
def test_heads_are_the_library_s_probes(num_values):
    codes = clouds(num_values)
    train, test = codes.rows("train"), codes.rows("test")
    heads = fit_heads(codes, ["shape", "t"])
    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))
    probe.fit(train.z, train.columns["shape"])
    np.testing.assert_allclose(heads["shape"].probabilities(test.z), probe.predict_proba(test.z), atol=1e-5)
    assert heads["shape"].quality == pytest.approx(probe.score(test.z, test.columns["shape"]))
    frequent = np.bincount(train.columns["shape"]).argmax()
    assert heads["shape"].chance == pytest.approx(np.mean(test.columns["shape"] == frequent))
    line = make_pipeline(StandardScaler(), Ridge()).fit(train.z, train.columns["t"])
    np.testing.assert_allclose(heads["t"].scores(test.z)[:, 0], line.predict(test.z), atol=1e-4)
    assert heads["t"].quality < heads["t"].chance


def test_what_cannot_be_predicted_has_no_head():
    codes = clouds(3)
    alone = dataclasses.replace(codes, columns=codes.columns | {"shape": np.zeros(300, dtype=np.int64)})
    assert list(fit_heads(alone, ["shape", "t"])) == ["t"]


def test_answers_are_sorted_and_sum_to_one(vae):
    found = {one.head.column: one for one in answers(vae, vae.codes.z[:1])}
    assert list(found) == ["camera", "shape", "pose"]
    for column, one in found.items():
        names, shares = zip(*one.likely)
        assert sorted(names) == [str(value) for value in range(DATA.spec.sizes[column])]
        assert list(shares) == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)


def test_the_nearest_test_images(vae):
    codes = dataclasses.replace(vae.codes, split=np.full(96, 2, dtype=np.uint8))
    every = dataclasses.replace(vae, codes=codes)
    row = 5
    found = neighbours(every, codes.z[[row]], 7)
    assert found[0].row == row
    assert found[0].similarity == pytest.approx(1, abs=1e-5)
    _, similarity = nearest(codes, np.array([row]), 6)
    np.testing.assert_allclose([one.similarity for one in found[1:]], similarity[0], atol=1e-5)
    assert {one.row for one in neighbours(vae, codes.z[[row]], 96)} == set(range(72, 96))
    assert found[1].labels == labels(every, found[1].row)
    assert list(found[0].labels) == ["shape", "pose", "camera"]


def test_one_neighbour_of_each_domain(vae):
    z = vae.codes.z[:1]
    found, plain = neighbours(vae, z, 9, each_domain=True), neighbours(vae, z, 96)
    assert sorted(one.labels["camera"] for one in found) == ["0", "1", "2", "3"]
    for one in found:
        assert one.similarity == max(
            other.similarity for other in plain if other.labels["camera"] == one.labels["camera"]
        )
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)


def test_a_missing_label_is_left_out(vae):
    columns = vae.codes.columns | {"shape": np.full(96, -1)}
    assert list(labels(dataclasses.replace(vae, codes=dataclasses.replace(vae.codes, columns=columns)), 3)) == [
        "pose",
        "camera",
    ]


def test_swaps_are_the_decoder_s():
    one = explorer("drnet")
    z = one.codes.z[:1]
    drawn = swap(one, z, [3, 1])
    with torch.no_grad():
        plain = one.encoder.method.decode(torch.from_numpy(z), torch.tensor([1]))[0]
    np.testing.assert_array_equal(drawn[1], (plain.clamp(0, 1) * 255).round().byte().permute(1, 2, 0))
    assert drawn.shape == (2, 32, 32, 3)


def test_sliders_move_one_dimension_each(vae):
    z, kl = vae.codes.z[:1], vae.codes.kl
    sliders = vae.sliders
    np.testing.assert_array_equal(kl[sliders], np.sort(kl)[::-1][: len(sliders)])
    same = traverse(vae, z, z[0, sliders].tolist())
    np.testing.assert_array_equal(same[0], same[1])
    values = z[0, sliders].copy()
    values[1] = 3
    moved = z.copy()
    moved[0, sliders[1]] = 3
    np.testing.assert_array_equal(traverse(vae, z, values.tolist())[1], traverse(vae, moved, values.tolist())[0])
    assert len(explorer("simclr", swaps=False).sliders) == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "1"])
def test_images_of_any_size_and_mode(vae, tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    Image.effect_noise((50, 37), 40).convert(mode).save(tmp_path / f"own{suffix}")
    assert read_pixels(vae, tmp_path / f"own{suffix}").shape == (1, 32, 32, 3)


def test_a_file_that_is_no_image(vae, tmp_path):
    (tmp_path / "own.png").write_text("no image")
    with pytest.raises(UserError, match=r"own\.png; mend or remove"):
        read_pixels(vae, tmp_path / "own.png")


def test_a_random_image_is_of_the_test_split(vae):
    image = random_image(vae, np.random.default_rng(0))
    assert any((image == other).all() for other in DATA.images[72:])
    assert from_pixels(image[:, :, :1]).mode == "L"  # gradio takes no array of one channel


def test_an_oblong_encoder_takes_its_own_size_alone(vae, tmp_path):
    spec = dataclasses.replace(DATA.spec, image_shape=(3, 20, 32))
    one = dataclasses.replace(vae, codes=dataclasses.replace(vae.codes, spec=spec))
    pixels = np.random.default_rng(0).integers(256, size=(20, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    np.testing.assert_array_equal(read_pixels(one, tmp_path / "own.png"), pixels[None])
    grey = dataclasses.replace(spec, image_shape=(1, 20, 32))
    shades = read_pixels(
        dataclasses.replace(one, codes=dataclasses.replace(one.codes, spec=grey)), tmp_path / "own.png"
    )
    assert shades.shape == (1, 20, 32, 1)
    assert "Images of other sizes are refused." in words.heading(one)
    Image.fromarray(pixels).convert("RGBA").resize((32, 21)).save(tmp_path / "large.png")
    Image.fromarray(pixels[:, :, 0].astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(pixels, "RGB").save(tmp_path / "broken.bmp")
    (tmp_path / "broken.bmp").write_bytes((tmp_path / "broken.bmp").read_bytes()[:900])
    (tmp_path / "none.png").write_text("no image")
    lines = {"large.png": "images of 32 x 20 pixels", "deep.png": "8 bits", "broken.bmp": "damaged", "none.png": "mend"}
    for name, line in lines.items():
        with pytest.raises(UserError, match=line):
            read_pixels(one, tmp_path / name)


def test_without_a_test_split_no_image_is_called_one(vae):
    assert "nearest test images" in words.neighbour_heading(vae)
    assert words.one_image(vae) == "a test image of the run"
    codes = dataclasses.replace(vae.codes, split=np.zeros(96, dtype=np.uint8))
    every = dataclasses.replace(vae, codes=codes, heads={})
    assert "test image" not in words.neighbour_heading(every) + words.one_image(every)
    assert {one.row for one in neighbours(every, codes.z[:1], 96)} == set(range(96))


def test_names_are_not_markdown(vae):
    evil = ("*x*\n| y", "`z` [l](u)", "<img src=x>")
    spec = dataclasses.replace(DATA.spec, values={"shape": evil, "camera": (*evil, "_")})
    one = dataclasses.replace(vae, codes=dataclasses.replace(vae.codes, spec=spec))
    found = {answer.head.column: answer for answer in answers(one, vae.codes.z[:1])}
    said = words.answer_table(found.values()) + words.domain_sentence(found["camera"])
    assert len(said.splitlines()) == 2 + len(found)
    assert not re.findall(r"(?<![\\*])[*`<\[](?!\*)", said.replace("**", ""))
    assert words.plain("a_b: 5 % (c)") == "a\\_b\\: 5 % (c)"


def test_names_cannot_break_the_page(vae):
    spec = dataclasses.replace(DATA.spec, values={"shape": ("a|b", "<b>", "c")})
    one = dataclasses.replace(vae, codes=dataclasses.replace(vae.codes, spec=spec))
    table = words.answer_table(answers(one, vae.codes.z[:1]))
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {7}
    assert "&lt;b&gt;" in words.strip(DATA.images[:1], ["<b>"])


@pytest.fixture
def run(tmp_path):
    """A run directory with the weights and codes of an untrained network, and without scores."""
    run, config = RunDir(tmp_path / "run"), RunConfig.make("beta-vae", "digits:source=sklearn,num=300", preset="tiny")
    dataset = load_data(config)
    model = build(config, dataset.spec).eval()
    checkpoint.save(run.checkpoint, weights=model.state_dict(), optimizers={}, state={})
    write_json(run.config, config.to_dict())
    write_json(run.spec, dataset.spec.to_dict())
    encode_dataset(model, dataset).save(run.codes)
    return run


def test_a_run_is_opened(run):
    one = open_run(run.path)
    assert set(one.heads) >= {"digit", "paint"}
    assert not one.swaps
    assert 0.5 < one.usual_similarity <= 1
    assert leakage(one) == []
    assert "`unbraid evaluate`" in words.leakage_table(leakage(one))
    assert one.run.name in words.heading(one)


def spoil_codes(run):
    codes = Codes.load(run.codes)
    codes.z[3] = np.nan
    codes.save(run.codes)


MISTAKES = {
    "codes that are not finite": ("are not finite: its training diverged", spoil_codes),
    "no run": ("no run at", lambda run: shutil.rmtree(run.path)),
    "no codes": ("has no codes yet: unbraid evaluate", lambda run: run.codes.unlink()),
    "other rows": ("other rows than its data now has", lambda run: Codes.load(run.codes).rows("train").save(run.codes)),
    "no checkpoint": ("has no checkpoint yet", lambda run: shutil.rmtree(run.checkpoint)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(run, mistake, capsys):
    line, spoil = MISTAKES[mistake]
    spoil(run)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main(["explore", str(run.path), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_a_port_that_is_taken():
    refused = pytest.raises(UserError, match="choose another --port or --host")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused as found:
        check_address("127.0.0.1", taken.getsockname()[1])
    assert str(found.value).count("127.0.0.1") == 1
    with pytest.raises(UserError, match="from 1 to 65535, not 99999"):
        check_address("127.0.0.1", 99_999)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_host_that_is_no_address(host):
    with pytest.raises(UserError, match="--host takes an IPv4 address of this machine"):
        check_address(host, 7860)


def test_gradio_is_asked_for_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'unbraid\[app\]'"):
        check_address("127.0.0.1", 7860)
