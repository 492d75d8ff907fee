"""Training folders of published systems -> run directories. One file each; a row here makes an importer known."""

from collections.abc import Callable

from unbraid.records import RunDir
from unbraid.registry import lookup

IMPORTERS = {
    "dcodr": "dcodr:read",  # Kahana & Hoshen 2022: encoder_*.pth, generator_*.pth, config.pkl
    "lord": "lord:read",  # Gabbay & Hoshen 2020: latent.pth, amortized.pth
}


def importer(name: str) -> Callable[..., RunDir]:
    """``read(folder, out, data, epoch) -> RunDir``. Raises: UserError on an unknown name, with the nearest."""
    return lookup("importer", IMPORTERS, name, "unbraid.importers")  # type: ignore[no-any-return]
