"""Methods: one file each. A row here makes a method known to the command line, the tests and the docs."""

from typing import TYPE_CHECKING

from unbraid.errors import UserError
from unbraid.registry import is_own, lookup, own

if TYPE_CHECKING:
    from unbraid.types import Method

METHODS = {
    "dcodr": "dcodr:DCoDR",  # Kahana & Hoshen 2022
    "dcodr-norec": "dcodr:DCoDRNoRec",
    "simclr": "simclr:SimCLR",  # Chen et al. 2020
    "simsiam": "simsiam:SimSiam",  # Chen & He 2021
    "barlow-twins": "barlow_twins:BarlowTwins",  # Zbontar et al. 2021
    "vicreg": "vicreg:VICReg",  # Bardes et al. 2022
    "lord": "lord:LORD",  # Gabbay & Hoshen 2020
    "drnet": "drnet:DrNet",  # Denton & Birodkar 2017
    "ml-vae": "ml_vae:MLVAE",  # Bouchacourt et al. 2018
    "dann": "dann:DANN",  # Ganin et al. 2016, on SimCLR's task
    "beta-vae": "beta_vae:BetaVAE",  # Higgins et al. 2017
    "semi-beta-vae": "semi_beta_vae:SemiBetaVAE",  # Locatello et al. 2020
    "annealed-vae": "annealed_vae:AnnealedVAE",  # Burgess et al. 2018
    "beta-tcvae": "beta_tcvae:BetaTCVAE",  # Chen et al. 2018; networks of Estermann et al. 2020
    "factor-vae": "factor_vae:FactorVAE",  # Kim & Mnih 2018
    "dip-vae": "dip_vae:DIPVAE",  # Kumar et al. 2018
    "autoencoder": "autoencoder:Autoencoder",  # the one of Kahana & Hoshen 2022, supplement
    "vanilla": "vanilla:Vanilla",  # a plain classifier
    "lff": "lff:LfF",  # Nam et al. 2020
    "disent-swap": "disent_swap:DisEntSwap",  # Lee et al. 2021
    "group-dro": "group_dro:GroupDRO",  # Sagawa et al. 2020
    "jtt": "jtt:JTT",  # Liu et al. 2021
    "ip-irm": "ip_irm:IPIRM",  # Wang et al. 2021
    "untrained": "untrained:Untrained",
}


def method(name: str) -> "type[Method]":
    """The class of a method: one of ``METHODS``, or your own, ``file.py:Class`` or ``package.module:Class``.

    Raises:
        UserError: On an unknown name, with the nearest, or if your own is no method.
    """
    if not is_own(name):
        return lookup("method", METHODS, name, "unbraid.methods")  # type: ignore[no-any-return]
    from unbraid.types import Method

    kind = own("method", name)
    if not (isinstance(kind, type) and issubclass(kind, Method) and hasattr(kind, "config_class")):
        raise UserError(f"method {name} is no subclass of unbraid.types.Method with a config_class")
    return kind
