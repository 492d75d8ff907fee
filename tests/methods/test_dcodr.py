"""DCoDR's options: each ablation trains on what its name says."""

import urllib.error

import pytest
import torch
import torch.nn.functional as F
from fake_training import RecordingStep, tiny_batch, tiny_dataset

from unbraid.errors import UserError
from unbraid.hparams import parse
from unbraid.losses import domain_info_nce
from unbraid.methods.dcodr import Config, DCoDRNoRec
from unbraid.nets import backbone


def build(**options) -> DCoDRNoRec:
    torch.manual_seed(0)
    cfg = parse(Config, DCoDRNoRec.presets["tiny"] | options, owner="dcodr-norec")
    return DCoDRNoRec(cfg, tiny_dataset().spec)


def contrast(model: DCoDRNoRec) -> tuple[float, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The logged term, and what it should have been computed from."""
    batch = tiny_batch(model)
    model.train()
    with torch.no_grad():
        z = model.encode(batch.x)
        views = (
            model.encode(batch.views.flatten(0, 1)).unflatten(0, batch.views.shape[:2]) if batch.views.size(1) else z
        )
    step = RecordingStep(model)
    model.update(batch, step)
    return step.losses[0][1]["contrast"], z, views, batch.domain


def test_several_positives_are_pooled():
    value, z, views, domain = contrast(build(positives=3))
    assert views.shape[1] == 3
    assert value == pytest.approx(domain_info_nce(z, views, domain, 0.2).item(), rel=1e-4)


def test_without_positives_uniformity_remains():
    value, z, _, domain = contrast(build(positives=0))
    assert value == pytest.approx(domain_info_nce(z, None, domain, 0.2).item(), rel=1e-4)


def test_negatives_of_all_domains_come_in_shuffled_batches():
    model = build(negatives="all_domains")
    assert model.needs.sampler == "shuffle"
    value, z, views, _ = contrast(model)
    assert value == pytest.approx(domain_info_nce(z, views, None, 0.2).item(), rel=1e-4)


def test_capped_negatives():
    codes = F.normalize(torch.ones(16, 4), dim=-1)
    value = domain_info_nce(codes, codes[:, None], torch.zeros(16, dtype=torch.int64), 0.2)
    assert value.item() == pytest.approx(torch.tensor(16.0).log().item())
    model = build(max_negatives=2)
    with torch.no_grad():
        for parameter in model.encoder.projection.parameters():
            parameter.zero_().add_(0.1)
        model.encoder.projection.weight.zero_()  # every code is the same: log(1 + number of negatives)
    assert contrast(model)[0] == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-4)


def test_moco_weights_that_cannot_be_had(monkeypatch, tmp_path):
    def offline(url, path, **_):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"cannot download the MoCo v2 weights \(no route\); put moco_v2"):
        backbone("resnet50", out_dim=8, weights="moco-v2")
    (tmp_path / "moco_v2_800ep_pretrain.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match="is not a file of weights"):
        backbone("resnet50", out_dim=8, weights="moco-v2")
