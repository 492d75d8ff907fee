"""Mistakes on the command line and in the data: one line that says what to do, exit code 2, nothing left behind."""

import shutil
from pathlib import Path

import pytest
from desk import DATA, PHOTOS, TINY, refuse

pytestmark = pytest.mark.usefixtures("desk")

TRAIN = ("train", "dcodr-norec", "--data", DATA, *TINY)
PHOTO_RUN = ("train", "dcodr-norec", *PHOTOS)

WORDS = {
    "command": (["trainn"], "unknown command 'trainn'. Did you mean 'train'?"),
    "no method": (["train"], "name a method first, unbraid train METHOD ...: one of dcodr, dcodr-norec"),
    "option before the method": (["train", "--data", "digits"], "name a method first"),
    "method": (["train", "dcodr-norek"], "unknown method 'dcodr-norek'. Did you mean 'dcodr-norec'?"),
    "method to show": (["show", "simcrl"], "no method and no metric is called 'simcrl'. Did you mean 'simclr'?"),
    "data set": (
        [*TRAIN, "--data", "digitz"],
        "unknown data set 'digitz', and no folder or file of that name. Did",
    ),
    "data parameter": ([*TRAIN, "--data", "digits:biass=1"], "no parameter 'biass'. Did you mean 'bias'?"),
    "data path": ([*TRAIN, "--data", "photoz/"], "no folder or file at photoz/"),
    "option": ([*TRAIN, "--epoch", "3"], "train has no option '--epoch'. Did you mean '--epochs'?"),
    "option of a column": (
        [*TRAIN, "--bias-column", "paint"],
        "no option '--bias-column'. --bias takes the name of the column",
    ),
    "needless option": ([*TRAIN, "--resume"], "no option '--resume'. What was stopped goes on by itself"),
    "hyphenated option": ([*TRAIN, "--batch-sizes=3"], "Did you mean '--batch_size'?"),
    "option of an audit": (
        ["audit", "x.npy", "--domian", "a"],
        "audit has no option '--domian'. Did you mean '--domain'?",
    ),
    "preset": (["train", "simclr", "--preset", "tinny"], "no preset 'tinny'. Did you mean 'tiny'?"),
    "view": ([*TRAIN, "--views", "simclrr"], "unknown view recipe 'simclrr'. Did you mean 'simclr'?"),
    "metric": ([*TRAIN, "--metrics", "migg"], "unknown metric 'migg'. Did you mean 'mig'?"),
    "view twice": ([*TRAIN, "--views", "crop,crop"], "name each once"),
    "backbone": ([*TRAIN, "--backbone", "resnet51"], "unknown backbone 'resnet51'. Did you mean 'resnet50'?"),
    "weights": ([*TRAIN, "--weights", "moco.pth"], "no weights at moco.pth"),
    "tracker": ([*TRAIN, "--tracker", "tensorbord"], "--tracker tensorbord: Unsupported"),
    "list": (["list", "method"], "kind must be one of 'methods', 'data', 'views', 'metrics', not 'method'"),
    "action": (["data", "prep", "digits"], "action must be one of 'prepare', 'export', 'bias', not 'prep'"),
    "missing word": (["report"], "report: the following arguments are required: folders"),
    "too many words": ([*TRAIN, "surplus"], "unrecognized arguments: surplus"),
    "no value": ([*TRAIN, "--epochs"], "argument --epochs: expected one argument"),
    "whole number": ([*TRAIN, "--epochs", "three"], "train: epochs must be int, not 'three'"),
    "fraction": ([*TRAIN, "--z_dim", "1.5"], "train: z_dim must be int, not '1.5'"),
    "number": ([*TRAIN, "--temperature", "hot"], "train: temperature must be float, not 'hot'"),
    "choice": ([*TRAIN, "--device", "gpu"], "train: device must be one of 'auto', 'cpu', not 'gpu'"),
    "negative": ([*TRAIN, "--epochs", "-1"], "dcodr-norec: epochs must be at least 0"),
    "seed": ([*TRAIN, "--seed", "-1"], "train: seed must be at least 0"),
    "zero": ([*TRAIN, "--batch_size", "0"], "dcodr-norec: batch_size must be at least 1"),
    "multiple": ([*TRAIN, "--batch_size", "3"], "batch_size 3 is not a multiple of domains_per_batch 2"),
    "option of own images": ([*TRAIN, "--size", "16"], "--size: for a folder or table of own images only"),
    "role": ([*TRAIN, "--domain", "paintt"], "no categorical column 'paintt' for --domain. Did you mean 'paint'?"),
    "kind of column": ([*TRAIN, "--domain", "slant_degrees"], "not a categorical one"),
    "image size": (
        ["train", "dcodr", "--data", f"{DATA},size=40", *TINY],
        "dcodr cannot be built for digits: the decoder draws images whose sides are multiples of 16, not 40x40",
    ),
    "export without a domain": (["data", "export", *PHOTOS[1:6]], "give --domain"),
}


@pytest.mark.parametrize("mistake", WORDS)
def test_words(capsys, mistake):
    words, line = WORDS[mistake]
    assert line in refuse(capsys, *words)


FILES = {
    "unknown": ("epocs: 1", "c.yaml: dcodr-norec has no option 'epocs'. Did you mean 'epochs'?"),
    "hyphen": ("batch-size: 1", "has no option 'batch-size'. Did you mean 'batch_size'?"),
    "type": ("epochs: one", "train: epochs must be int, not 'one'"),
    "range": ("batch_size: 0", "batch_size must be at least 1"),
    "preset": ("preset: tinny", "no preset 'tinny'. Did you mean 'tiny'?"),
    "method": ("method: simclr", "c.yaml is for method simclr, not for dcodr-norec"),
    "damaged": ("epochs: [1", 'c.yaml is not YAML: while parsing a flow sequence in "c.yaml", line 1'),
    "binary": ("\xff\x00", "c.yaml is not YAML: "),
    "list": ("- epochs", "c.yaml holds no options; write one 'name: value' on each line"),
    "empty": ("", "c.yaml holds no options"),
}


@pytest.mark.parametrize("mistake", FILES)
def test_files_of_options(capsys, mistake):
    text, line = FILES[mistake]
    Path("c.yaml").write_bytes(text.encode("latin-1"))
    assert line in refuse(capsys, "train", "dcodr-norec", "--config", "c.yaml")


def test_no_file_of_options(capsys):
    assert "cannot read c.yaml: No such file" in refuse(capsys, *TRAIN, "--config", "c.yaml")


def test_a_folder_without_images(capsys):
    Path("empty").mkdir()
    assert "no images in empty: expected files ending in .jpg" in refuse(capsys, "train", "simclr", "--data", "empty")


def test_paths_that_do_not_exist(capsys, desk):
    desk.loc[:4, "path"] = [f"x{row}.png" for row in range(5)]
    desk.to_csv("photos.csv", index=False)
    line = refuse(capsys, *PHOTO_RUN, "--domain", "camera")
    assert "5 of 48 images named in column 'path' of photos.csv do not exist: photos/x0.png, photos/x1.png, " in line
    assert "photos/x2.png and 2 more; paths are relative to photos" in line


def test_an_image_that_cannot_be_read(capsys):
    Path("photos/p03.png").write_bytes(b"no image")
    line = refuse(capsys, *PHOTO_RUN, "--domain", "camera")
    assert "1 of 48 images cannot be read: photos/p03.png; mend or remove them" in line


def test_domains_that_make_no_sense(capsys, desk):
    assert "no column 'camra' (--domain). Did you mean 'camera'?" in refuse(capsys, *PHOTO_RUN, "--domain", "camra")
    assert "dcodr-norec needs a domain: give --domain, one of camera, subject" in refuse(capsys, *PHOTO_RUN)
    unlabelled = ("--data", "photos", "--size", 32, *TINY)
    assert "photos has no categorical column; give it labels" in refuse(capsys, "train", "dcodr-norec", *unlabelled)
    desk.assign(camera="a").to_csv("photos.csv", index=False)
    assert "every image of photos has the same 'camera'" in refuse(capsys, *PHOTO_RUN, "--domain", "camera")
    desk.loc[7, "camera"] = "lonely"
    desk.to_csv("photos.csv", index=False)
    assert "1 value(s) of 'camera' have a single image: lonely" in refuse(capsys, *PHOTO_RUN, "--domain", "camera")


def test_a_split_of_one_class(capsys, desk):
    split = ["train"] * 40 + ["test"] * 8
    desk.assign(split=split, y=[0, 1] * 20 + [1] * 8).to_csv("photos.csv", index=False)
    line = refuse(capsys, *PHOTO_RUN, "--domain", "camera", "--label", "y")
    assert "every image of the test split has 'y' = 1" in line


def test_out_is_taken(capsys, trained):
    shutil.copytree(trained, "run")
    words = ("train", "simclr", "--data", DATA, *TINY)
    line = refuse(capsys, *words, "--epochs", 1, "--temperature", 0.25, "--seed", 1, "--out", "run")
    assert "run holds a run of another configuration (seed: 0 -> 1; temperature: 0.5 -> 0.25); choose another" in line
    line = refuse(capsys, *words, "--out", "photos")
    assert "photos is not empty and holds no run; choose another --out" in line
    assert "photos.csv is a file; choose another --out" in refuse(capsys, *words, "--out", "photos.csv")


def test_out_holds_a_run_on_other_data(capsys, trained):
    shutil.copytree(trained, "run")
    Path("run/DONE").unlink()
    spec = Path("run/spec.json")
    spec.write_text(spec.read_text().replace('"num_train": 240', '"num_train": 200'))
    line = refuse(capsys, "train", "simclr", "--data", DATA, *TINY, "--epochs", 1, "--out", "run")
    assert "the data have changed since run was begun; choose another --out, or delete it" in line


def test_a_tracker_that_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    assert "--tracker wandb is not installed: pip install wandb" in refuse(capsys, *TRAIN, "--tracker", "wandb")
