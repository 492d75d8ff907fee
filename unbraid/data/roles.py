"""Which column is the domain, the label, a factor: a data set's own roles, overridden by the user's."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from unbraid.data.options import DataOptions
from unbraid.errors import DataError, UserError, did_you_mean
from unbraid.tables import Column, DataSpec


def with_roles(spec: DataSpec, columns: Mapping[str, Column], options: DataOptions) -> DataSpec:
    """The same data with the roles that ``options`` gives; rows picked where the domain is constant have no domain.

    Raises:
        UserError: If a role names a column that is not there or is of the wrong kind.
        DataError: If every row has the same domain, and no rows were picked.
    """
    real = set(columns) - set(spec.sizes)
    singles = {role: value for role in ("domain", "label", "bias") if (value := getattr(options, role)) is not None}
    for role, column in singles.items():
        _check(spec.name, role, column, known=spec.sizes, other=real, kind="categorical")
    factors = spec.factors if options.factors is None else tuple(options.factors)
    for column in factors:
        _check(spec.name, "factors", column, known=spec.sizes, other=real, kind="categorical")
    targets = spec.targets if options.targets is None else tuple(options.targets)
    for column in targets:
        _check(spec.name, "targets", column, known=real, other=spec.sizes, kind="real-valued")
    for column in options.circular or ():
        _check(spec.name, "circular", column, known=factors, other=columns, kind="factor")
    circular = spec.circular & set(factors) if options.circular is None else frozenset(options.circular)
    spec = dataclasses.replace(spec, factors=factors, targets=targets, circular=circular, **singles)
    if spec.domain is not None and len(np.unique(columns[spec.domain])) < 2:
        if options.rows is not None:
            return dataclasses.replace(spec, domain=None)
        raise DataError(
            f"every image of {spec.name} has the same {spec.domain!r}: there is no domain to be invariant to"
        )
    return spec


def _check(owner: str, role: str, column: str, *, known: Collection[str], other: Collection[str], kind: str) -> None:
    if column in known:
        return
    if column in other:
        raise UserError(f"--{role} {column}: that column of {owner} is not a {kind} one")
    hint = did_you_mean(column, known) if known else " It has none."
    raise UserError(f"{owner} has no {kind} column {column!r} for --{role}.{hint}")
