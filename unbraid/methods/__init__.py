"""Methods: one file each. A row here makes a method known to the command line, the tests and the docs."""

from typing import TYPE_CHECKING

from unbraid.registry import lookup

if TYPE_CHECKING:
    from unbraid.types import Method

METHODS = {
    "dcodr": "dcodr:DCoDR",  # Kahana & Hoshen 2022
    "dcodr-norec": "dcodr:DCoDRNoRec",
    "simclr": "simclr:SimCLR",  # Chen et al. 2020
    "lord": "lord:LORD",  # Gabbay & Hoshen 2020
    "drnet": "drnet:DrNet",  # Denton & Birodkar 2017
    "ml-vae": "ml_vae:MLVAE",  # Bouchacourt et al. 2018
    "dann": "dann:DANN",  # Ganin et al. 2016, on SimCLR's task
    "autoencoder": "autoencoder:Autoencoder",  # the one of Kahana & Hoshen 2022, supplement
    "vanilla": "vanilla:Vanilla",  # a plain classifier
    "lff": "lff:LfF",  # Nam et al. 2020
    "disent-swap": "disent_swap:DisEntSwap",  # Lee et al. 2021
    "group-dro": "group_dro:GroupDRO",  # Sagawa et al. 2020
    "jtt": "jtt:JTT",  # Liu et al. 2021
    "untrained": "untrained:Untrained",
}


def method(name: str) -> "type[Method]":
    """The class of a method. Raises: UserError on an unknown name, with the nearest."""
    return lookup("method", METHODS, name, "unbraid.methods")  # type: ignore[no-any-return]
