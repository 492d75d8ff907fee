"""What published systems write -> run directories. One file each; a row here makes an importer known."""

from collections.abc import Callable

from unbraid.records import RunDir
from unbraid.registry import lookup

IMPORTERS = {
    "dcodr": "dcodr:read",  # Kahana & Hoshen 2022: encoder_*.pth, generator_*.pth, config.pkl
    "disent": "disent:read",  # Lee et al. 2021, Nam et al. 2020: best_model_l.th, best_model_b.th; best_model.th
    "ip-irm": "ip_irm:read",  # Wang et al. 2021: model_400.pth
    "lord": "lord:read",  # Gabbay & Hoshen 2020: latent.pth, amortized.pth
    "pbt-vae": "pbt_vae:read",  # Estermann et al. 2020: bestmodels/model.pth
}


def importer(name: str) -> Callable[..., RunDir]:
    """``read(path, out, data, epoch) -> RunDir``. Raises: UserError on an unknown name, with the nearest."""
    return lookup("importer", IMPORTERS, name, "unbraid.importers")  # type: ignore[no-any-return]
