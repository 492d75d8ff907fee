"""Which mends of the published IP-IRM are asked for; the docstring of ``methods/ip_irm.py`` says what each does."""

from unbraid.errors import UserError, did_you_mean

MENDS = ("scalar", "same-loss", "own-share", "mean", "subsets", "balance", "bank", "delay")


def mends(fidelity: str) -> frozenset[str]:
    """Raises: UserError if one is unknown."""
    if fidelity in ("fixed", "published"):
        return frozenset(MENDS if fidelity == "fixed" else ())
    names = frozenset(name.strip() for name in fidelity.split(","))
    if (alone := names & {"fixed", "published"}) and len(names) > 1:
        raise UserError(f"fidelity {fidelity!r}: {min(alone)} stands alone; name the mends only, the rest is published")
    if unknown := sorted(names - {*MENDS}):
        known = ("fixed", "published", *MENDS)
        raise UserError(f"fidelity is fixed, published or mends, not {unknown[0]!r}.{did_you_mean(unknown[0], known)}")
    return names
