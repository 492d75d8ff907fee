"""RunConfig: everything needed to repeat one run. It becomes config.json and comes back from it."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unbraid.augment import views as find_views
from unbraid.data import DATASETS, base_name, slug
from unbraid.data.options import DataOptions
from unbraid.errors import UserError, did_you_mean
from unbraid.hparams import hp, parse
from unbraid.methods import method as find_method
from unbraid.metrics import check_asked
from unbraid.registry import full_name
from unbraid.types import Method

Precision = Literal["auto", "fp32", "fp32-channels-last", "bf16"]
_DECISIVE = ("seed", "views", "clip_norm", "start_from", "max_steps")  # settings that change a run's numbers


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run, whatever the method."""

    seed: int = hp(0, doc="decides everything random")
    views: str = hp("", doc="view recipe, or several single ones with commas; default: the method's own")
    device: Literal["auto", "cpu"] = hp("auto", doc="auto: the accelerator if there is one")
    precision: Precision = hp("auto", doc="auto times the other three on this network and takes the fastest")
    start_from: str = hp("", doc="run directory whose training goes on here: weights, moments, epochs; default: none")
    max_steps: int = hp(0, doc="steps to train; 0: to the end of the last epoch")
    clip_norm: float = hp(0.0, doc="longest gradient allowed, in each optimiser; 0: no limit")
    metrics: list[str] | None = hp(None, doc="names of 'unbraid list metrics', or all; default: probes and retrieval")
    tracker: str = hp("none", doc="also log to tensorboard, wandb, mlflow or another tracker of accelerate")
    log_every: int = hp(20, least=1, doc="steps between two lines of train.jsonl")
    watch_every: int = hp(0, least=0, doc="steps between two measurements of a classifier's accuracy; 0: each epoch")
    knn_every: int = hp(0, doc="epochs between two measurements of kNN accuracy on the codes, in knn.jsonl; 0: none")
    knn_temperature: float = hp(0.5, least=1e-3, doc="of that vote; published runs take the temperature of training")
    checkpoint_seconds: float = hp(60.0, doc="seconds between two checkpoints")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run. ``hparams`` is an instance of the method's ``config_class``: every number the optimiser sees."""

    method: str
    data: str
    hparams: Any
    options: DataOptions = field(default_factory=DataOptions)
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def make(cls, method: str, data: str, *, preset: str | None = None, **values: Any) -> "RunConfig":
        """Defaults, then the preset (by name, or the data set's own), then ``values``.

        Args:
            values: Fields of DataOptions, of Settings and of the method's hyper-parameters, all by their plain names.

        Raises:
            UserError: On an unknown name, with the nearest, or a value of the wrong type.
        """
        kind, method = find_method(method), full_name(method)
        option_names, setting_names, hparam_names = map(field_names, (DataOptions, Settings, kind.config_class))
        for name in values:
            if name not in (known := option_names | setting_names | hparam_names):
                raise UserError(f"{method} has no option {name!r}.{did_you_mean(name, known)}")
        numbers = preset_values(kind, data, preset)
        views = numbers.pop("views", kind.views)
        numbers |= {name: value for name, value in values.items() if name in hparam_names}
        settings = parse(Settings, {k: v for k, v in values.items() if k in setting_names}, owner="train")
        settings = dataclasses.replace(settings, views=settings.views or views)
        find_views(settings.views)
        check_asked(settings.metrics)
        return cls(
            method=method,
            data=_without_slash(data),
            hparams=parse(kind.config_class, numbers, owner=method),
            options=parse(DataOptions, {k: v for k, v in values.items() if k in option_names}, owner="the data"),
            settings=settings,
        )

    @property
    def name(self) -> str:
        """The run directory's default name."""
        return f"{self.method_name}-{slug(self.data)}-{self.settings.seed}"

    @property
    def method_name(self) -> str:
        """The method for people: of ``file.py:Class`` the class."""
        return self.method.rpartition(":")[2]

    @property
    def kind(self) -> type[Method]:
        return find_method(self.method)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The inverse of ``to_dict``. Raises: UserError if the method or a field is not of this version."""
        made = cls.make(values["method"], values["data"], **values["options"], **values["settings"])
        numbers = parse(made.kind.config_class, values["hparams"], owner=made.method)
        return dataclasses.replace(made, hparams=numbers)

    def differences(self, other: "RunConfig") -> list[str]:
        """What would make the two runs' numbers differ, as ``name: ours -> theirs``."""
        ours, theirs = self._numbers(), other._numbers()
        return [
            f"{name}: {ours.get(name)!r} -> {theirs.get(name)!r}"
            for name in {**ours, **theirs}
            if ours.get(name) != theirs.get(name)
        ]

    def _numbers(self) -> dict[str, Any]:
        settings = {name: getattr(self.settings, name) for name in _DECISIVE}
        named = {"method": self.method, "data": self.data, **dataclasses.asdict(self.options), **settings}
        return named | dataclasses.asdict(self.hparams)


def _without_slash(data: str) -> str:
    """``photos/`` is ``photos``, but ``digits/`` is a folder and no data set of ours."""
    plain = os.path.normpath(data)
    return plain if data and Path(plain).exists() and plain.partition(":")[0] not in DATASETS else data


def field_names(config_class: type) -> set[str]:
    return {f.name for f in dataclasses.fields(config_class)}


def preset_values(kind: type[Method], data: str, preset: str | None) -> dict[str, Any]:
    """The preset of that name, or the one of a data set that we know by its own name; a folder's name chooses none.

    Raises:
        UserError: If the method has no such preset; names the nearest.
    """
    if preset and preset not in kind.presets:
        raise UserError(f"there is no preset {preset!r}.{did_you_mean(preset, kind.presets)}")
    known = data.partition(":")[0] in DATASETS or data.endswith(".npz")
    return dict(kind.presets.get(preset or (base_name(data) if known else ""), {}))
