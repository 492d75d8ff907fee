"""The network of a member that the others agree with most is the one that encodes."""

import numpy as np

import unbraid
from unbraid.encoder import load
from unbraid.population.exports import choose_agreed

DATA = "digits:source=sklearn,num=200"


def test_the_network_that_agrees_most_is_chosen(tmp_path):
    options = {"preset": "tiny", "precision": "fp32", "num_models": 3, "max_steps": 2, "metrics": ["mig"]}
    run = unbraid.train("beta-tcvae", DATA, out=tmp_path / "run", **options)
    choose_agreed(run)  # never judged by UDR: as it was
    assert int(load(run).method.chosen) == 0
    np.savez(run.path / "udr.npz", scores=[0.1, 0.8, 0.3], active=[1, 1, 1], pairwise=np.zeros((3, 3)))
    choose_agreed(run)
    assert int(load(run).method.chosen) == 1
