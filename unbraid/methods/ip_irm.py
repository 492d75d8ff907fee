"""IP-IRM: a code that tells every image from every other equally well in each part of any partition it can find.

Source
    Wang et al., Self-Supervised Learning Disentangled Group Representation as Feature, NeurIPS 2021,
    arXiv:2110.15255, and its published code.
Objective
    Two steps in turn. A partition of the training images into environments is sought under which the contrastive loss
    of the environments, plus the penalty, is greatest. Then the network is trained for maximize_every epochs: the mean
    over all partitions found so far and their environments of the contrastive loss, in which negatives come from the
    image's own environment, plus penalty_weight times the IRM penalty, plus the contrastive loss of the whole batch.
    Where penalty_weight is above 1, all is divided by it. The code is what the projector reads, at unit length.
Differences
    Mends of the published code, each with the name that ``fidelity`` knows it by:
    1. scalar: the penalty's factor stands on all logits of a subset, as in the paper. Published there is one for each
       column of the matrix of logits, so that the penalty depends on the order of the batch; with mixup for each key.
    2. same-loss: a partition is sought with the loss that is trained. Published the sought environments' negatives are
       reweighted to mean 1, and with search_mixup a part of the mixtures' terms and of the weights is lost.
    3. subsets: those of less than two images are left out, and with v-rex the others count by their images. Published
       none may be empty, a search with v-rex can empty one, and mixed images pass the network subset by subset.
    4. own-share, mean: a mixture is paired with its own share, and partitions are averaged. Published, with mixup, the
       share is the subset's mean, and partitions are summed.
    5. balance: the relaxed constraint fits any number of environments.
    6. bank: partitions stay as found. Published, without random_start, the newest is overwritten by the next search.
    7. delay: a penalty_start of 200 or more is obeyed.
    In every fidelity:
    8. After the last epoch no partition is sought: nothing would be trained with it.
    9. With mixup, second views pass the network once in a step; published once for each partition, which changes
       nothing but running statistics of batch norm.
    10. The published flag for a growing penalty fails; penalty_ramp is a linear one.
    11. There is no published script for CIFAR-10; its presets have CIFAR-100's numbers. All presets have the published
       weights of the penalty, which were chosen for the published penalty; the scalar one is smaller, and on painted
       digits some 20 suits it.
    12. Crops keep the size of the images. In the presets of STL-10 they are made 32 wide, of images of 96 pixels at
       which tests are, as published; stl10:size=32 makes all images smaller beforehand.
    13. The presets -simclr, -dcl and -mixup-baseline are the published code's baselines: the same network without
       partitions, plain, debiased (Chuang et al. 2020), or with mixup at a temperature of 0.5. Published scripts are
       those with mixup, of STL-10 and CIFAR-100.
    14. With mixup and without search_mixup, a partition is sought with the loss of images that are not mixed, as
       published.
Logged
    whole  environments  penalty  (weighted, as optimised)  left_out  (subsets of less than two images)
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unbraid.errors import UserError
from unbraid.hparams import choice, hp, log_uniform
from unbraid.losses import nt_xent
from unbraid.losses.partition import Constraint, SubsetTerms, imbalance
from unbraid.losses.partition_mixup import mixed, mixing
from unbraid.nets import mlp
from unbraid.nets.classifier import feature_extractor
from unbraid.partitions.bank import PartitionBank
from unbraid.partitions.features import Online, Stored, store
from unbraid.partitions.fidelity import mends
from unbraid.partitions.grouped import clusters, ranked
from unbraid.partitions.learned import PUBLISHED, PUBLISHED_MIXED_ONLINE, Schedule, learned
from unbraid.partitions.plateau import Plateau
from unbraid.partitions.problem import FeatureBatch, Found, Problem, mean_penalty, variance, weighed_variance
from unbraid.partitions.subset_loss import Penalty, SubsetLoss
from unbraid.processes import gather, num_processes, total
from unbraid.tables import DataSpec
from unbraid.types import Batch, Method, Needs, Partitions, Passes, Step


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = hp(400, doc="passes over the train split")
    batch_size: int = hp(256, least=2, search=choice(128, 256, 512), doc="images in a batch")
    backbone: str = hp("resnet50-cifar", doc="resnet50, resnet18, either with -cifar, small, tiny, mlp or timm:<model>")
    weights: str = hp("none", doc='initial weights: "none", "imagenet", or a file (torchvision)')
    hidden_dim: int = hp(512, least=1, doc="width inside the projector")
    projection_dim: int = hp(128, least=1, doc="width of the projection that the loss sees")
    objective: Literal["simclr", "simsiam", "vicreg", "barlow-twins"] = hp("simclr", doc="the self-supervised loss")
    temperature: float = hp(0.5, least=0.02, search=log_uniform(0.05, 1.0), doc="of simclr's loss")
    tau_plus: float = hp(0.0, doc="simclr: as of method simclr, in the loss of the whole batch; published 0.1")
    mixup: bool = hp(False, doc="simclr: first views are mixed with others of the same environment")
    mixup_alpha: float = hp(1.0, least=1e-3, doc="shares are drawn from Beta(alpha, alpha)")
    global_contrast: bool = hp(True, doc="add the loss of the whole batch")
    num_environments: int = hp(2, least=2, doc="environments of a partition, at most 256")
    retain_partitions: bool = hp(True, doc="train on all partitions of the bank, not on the newest alone")
    bank_size: int = hp(0, doc="partitions kept, the oldest goes first; 0: all")
    penalty: Penalty = hp(
        "irm", doc="squared derivative by a factor on the logits, by one factor for each key, or variance of the losses"
    )
    penalty_weight: float = hp(0.2, search=log_uniform(0.05, 1.0), doc="weight of the penalty in training")
    penalty_temperature: float = hp(0.5, least=0.02, doc="of the logits in the penalty; with mixup: temperature")
    penalty_start: int = hp(0, doc="first epoch with the penalty, counted from 1")
    penalty_ramp: int = hp(0, doc="epochs over which the penalty then grows to its weight")
    finder: Literal["learned", "clusters", "ranked", "none"] = hp(
        "learned", doc="logits by ascent, k-means, equal parts by similarity to an image; none: the baseline"
    )
    restarts: int = hp(1, least=1, doc="searches, of which the best is kept")
    maximize_every: int = hp(50, least=1, doc="epochs from one search to the next; at a plateau: at least")
    maximize_when: Literal["every", "plateau"] = hp("every", doc="then, or only once the loss no longer falls")
    patience: int = hp(3, least=1, doc="plateau: epochs without a loss lower by 1 percent")
    warmup_epochs: int = hp(0, doc="epochs before the first search, on the loss of the whole batch")
    search_penalty_weight: float = hp(0.5, search=log_uniform(0.05, 1.0), doc="weight of the penalty in the search")
    search_batch_size: int = hp(3096, least=4, doc="images in a batch of the search")
    search_stop: Literal["converged", "published"] = hp("converged", doc="or after 61 turns (31 online with mixup)")
    search_turns: int = hp(100, least=1, doc="converged: turns at most")
    search_lr: float = hp(0.5, doc="converged: Adam step on the logits")
    search_online: bool = hp(False, doc="learned: new views in each turn, not features embedded once")
    search_mixup: bool = hp(False, doc="mix in the search, too")
    random_start: bool = hp(True, doc="begin each search anew, not from the partition before")
    constraint: Constraint = hp("relaxed", doc="on the balance of a partition: none, strict, relaxed or confident")
    normalize_anchors: bool = hp(True, doc="search: divide losses by the sum of the anchors' weights, not their number")
    lr: float = hp(1e-3, search=log_uniform(1e-4, 3e-3), doc="Adam step")
    weight_decay: float = hp(1e-6, doc="L2 penalty")
    fidelity: str = hp("fixed", doc='"fixed", "published", or mends joined by commas')


# The published scripts.
_SEARCH = {"search_stop": "published"}
_MIXUP = _SEARCH | {"mixup": True, "temperature": 0.2, "search_batch_size": 2048}
_STL10 = {"views": "ip-irm-32"}
_CIFAR = _SEARCH | {"search_penalty_weight": 0.2}
_CIFAR_MIXUP = _MIXUP | {"search_online": True, "search_mixup": True}
_DCL, _MIXUP_BASELINE = {"tau_plus": 0.1}, {"mixup": True}  # at temperature 0.5, not the 0.2 of _MIXUP
_CPU = {"epochs": 20, "backbone": "small", "maximize_every": 5, "search_batch_size": 1024, "restarts": 4}


class IPIRM(Method):
    """Trains on partitions and searches for new ones."""

    config_class = Config
    cfg: Config
    needs = Needs(views=2)
    presets = {
        "stl10": _STL10 | _SEARCH,
        "cifar10": _CIFAR,
        "cifar100": _CIFAR,
        "stl10-mixup": _STL10 | _MIXUP,
        "stl10-mixup-set5": _STL10 | _MIXUP | {"bank_size": 5},
        "cifar10-mixup": _CIFAR_MIXUP | {"search_batch_size": 3096},
        "cifar100-mixup": _CIFAR_MIXUP,
        "cifar100-mixup-set5": _CIFAR_MIXUP | {"bank_size": 5},
        **{
            f"{data}-{name}": {**own, **options, "finder": "none"}
            for data, own in (("stl10", _STL10), ("cifar10", {}), ("cifar100", {}))
            for name, options in (("simclr", {}), ("dcl", _DCL), ("mixup-baseline", _MIXUP_BASELINE))
        },
        "cpu": _CPU,
        "digits": _CPU | {"epochs": 8, "maximize_every": 2},
        "sprites": _CPU | {"epochs": 8, "maximize_every": 2},
        "coil100": _CPU,
        "tiny": {
            "epochs": 2,
            "batch_size": 16,
            "backbone": "tiny",
            "hidden_dim": 16,
            "projection_dim": 8,
            "maximize_every": 1,
            "search_batch_size": 32,
            "search_turns": 5,
            "restarts": 2,
        },
    }
    views = "ip-irm"

    def __init__(self, cfg: Config, spec: DataSpec) -> None:
        super().__init__(cfg, spec)
        self.mended = mends(cfg.fidelity)
        _check(cfg, self.mended)
        self.encoder, width = feature_extractor(cfg.backbone, spec.image_shape, weights=cfg.weights, unit_pixels=True)
        self.projector = mlp(width, cfg.hidden_dim, cfg.projection_dim, batch_norm=True)
        if cfg.objective == "simsiam":
            self.predictor = mlp(cfg.projection_dim, cfg.hidden_dim, cfg.projection_dim, batch_norm=True)
        self.subset_loss = SubsetLoss(
            objective=cfg.objective,
            temperature=cfg.temperature,
            penalty=cfg.penalty,
            penalty_temperature=cfg.penalty_temperature,
            scalar="scalar" in self.mended,
            same="same-loss" in self.mended,
            normalize_anchors=cfg.normalize_anchors,
            online=cfg.search_online,
        )
        self._variance = weighed_variance if "subsets" in self.mended else variance
        searches = math.ceil((cfg.epochs - cfg.warmup_epochs) / cfg.maximize_every)
        self.bank = PartitionBank(cfg.bank_size or max(1, searches), spec.num_train, cfg.num_environments)
        self.logits = nn.Buffer(torch.zeros(spec.num_train, cfg.num_environments))  # of the newest partition
        self.plateau = Plateau()
        self.epoch = 0

    def get_extra_state(self) -> Tensor:
        """The epoch is part of a checkpoint, so that a run can resume within it."""
        return torch.tensor(self.epoch)

    def set_extra_state(self, state: Tensor) -> None:
        self.epoch = int(state)

    @property
    def found_partitions(self) -> Partitions:
        return self.bank.filled

    @property
    def partitions(self) -> UInt8[Tensor, "p n"]:
        """The environment of each training image in each partition of the bank, oldest first."""
        return self.found_partitions.environments

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.encoder(x)  # type: ignore[no-any-return]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.features(x), dim=1)

    def outputs(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """What the loss sees of one view."""
        z = self.projector(self.encoder(x))
        if self.cfg.objective == "simclr":
            return F.normalize(z, dim=1)
        return torch.cat([self.predictor(z), z], dim=1) if self.cfg.objective == "simsiam" else z

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Adam(self.parameters(), lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)}

    # --- training

    def update(self, batch: Batch, step: Step) -> None:
        first, second = batch.views.unbind(1)
        used = self.partitions if self.cfg.retain_partitions else self.partitions[-1:]
        environments = used[:, batch.index].long()  # (P, B)
        member = gather(F.one_hot(environments.T, self.cfg.num_environments).to(first))  # (B, P, K)
        size = member.sum(0)
        counted = self._counted(size)
        if self.cfg.mixup:
            whole, terms = self._mixed_terms(first, second, environments)
        else:
            whole, terms = self._plain_terms(first, second, member)
        losses = {"whole": whole} if self.cfg.global_contrast or not len(used) else {}
        log = {}
        if len(used):
            share = counted.to(whole) / counted.sum().clamp_min(1)
            v_rex = self.cfg.penalty == "v-rex"
            unlike = self._variance(terms, size).mean() if v_rex else (share * terms.penalty).sum()
            losses |= {"environments": (share * terms.loss).sum(), "penalty": self.penalty_weight() * unlike}
            log["left_out"] = (~counted).sum().float()
        losses = self._scaled(losses, len(used))
        self.plateau.add(torch.stack([*losses.values()]).sum())
        step("main", losses, log=log)

    def penalty_weight(self) -> float:
        """Of this epoch."""
        cfg, epoch, start = self.cfg, self.epoch + 1, self.cfg.penalty_start
        if start >= 200 and "delay" not in self.mended:
            start = 0
        if epoch < start:
            return 0.0
        return cfg.penalty_weight * min(1.0, (epoch - max(start, 1) + 1) / max(cfg.penalty_ramp, 1))

    def _plain_terms(
        self, first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], member: Float[Tensor, "g p k"]
    ) -> tuple[Float[Tensor, ""], SubsetTerms]:
        """The loss of the whole batch; loss and penalty of each subset."""
        weight = torch.cat([member.new_ones(len(member), 1), member.flatten(1)], dim=1)
        one, two = gather(self.outputs(first)), gather(self.outputs(second))
        terms, tau_plus = self.subset_loss.given(one, two, weight), self.cfg.tau_plus
        whole = nt_xent(one, two, self.cfg.temperature, tau_plus) if tau_plus else terms.loss[0]
        return whole, SubsetTerms(*(part[1:].view(member.shape[1:]) for part in terms))

    def _mixed_terms(
        self, first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], environments: Int[Tensor, "p b"]
    ) -> tuple[Float[Tensor, ""], SubsetTerms]:
        """The same with first views mixed, those of a subset among themselves."""
        key = gather(self.outputs(second))
        whole = self._mixed(first, key, environments.new_zeros(len(first)), 1)
        each = [self._mixed(first, key, environment, self.cfg.num_environments) for environment in environments]
        return whole.loss[0], SubsetTerms(*map(torch.stack, zip(*each))) if each else whole

    def _mixed(
        self, first: Float[Tensor, "b c h w"], key: Float[Tensor, "g d"], environment: Int[Tensor, " b"], num: int
    ) -> SubsetTerms:
        """Of the subsets of one partition."""
        partner, share = torch.zeros_like(environment), first.new_ones(len(first))
        subsets = [rows for k in range(num) if len(rows := (environment == k).nonzero()[:, 0])]
        for rows in subsets:
            drawn, shares = mixing(len(rows), self.cfg.mixup_alpha)
            partner[rows], share[rows] = rows[drawn.to(rows.device)], shares.to(share)
        mixture = mixed(first, partner, share)
        if "subsets" in self.mended:
            query = self.outputs(mixture)
        else:  # with batch norm's statistics of the subset alone
            query = torch.cat([self.outputs(mixture[rows]) for rows in subsets])[torch.cat(subsets).argsort()]
        member = gather(F.one_hot(environment, num).to(key))
        share = gather(share)[:, None].expand_as(member)
        if "own-share" not in self.mended:
            share = ((member * share).sum(0) / member.sum(0).clamp_min(1)).expand_as(member)
        return self.subset_loss.given_mixed(gather(query), key, _of_all_processes(partner), share, member)

    def _counted(self, sizes: Float[Tensor, "p k"]) -> Bool[Tensor, "p k"]:
        """Which subsets the means are over. Raises: UserError if one is empty, as published."""
        if "subsets" in self.mended:
            return sizes >= 2
        if sizes.numel() and sizes.min() < (least := 2 if self.cfg.mixup else 1):
            raise UserError(
                f"a batch has a subset of less than {least} images, which the published code cannot train on; "
                "use a larger batch_size, or fidelity fixed"
            )
        return torch.ones_like(sizes, dtype=torch.bool)

    def _scaled(self, losses: dict[str, Tensor], num_partitions: int) -> dict[str, Tensor]:
        """Divided by the penalty's weight where that is above 1; as published with mixup, partitions are summed."""
        divisor = max(1.0, self.penalty_weight())
        if not self.cfg.mixup or not self.cfg.retain_partitions or "mean" in self.mended:
            return {name: loss / divisor for name, loss in losses.items()}
        return {name: loss if name == "whole" else loss * num_partitions / divisor for name, loss in losses.items()}

    # --- search

    def begin_epoch(self, epoch: int, loader: Passes, step: Step) -> None:
        self.epoch = epoch
        self.plateau.end_epoch()
        if not self._due(epoch):
            return
        self.eval()
        found = self._search(loader)
        self.train()
        if not self.cfg.random_start and "bank" not in self.mended and len(self.bank) > 1:
            self.bank.environments[len(self.bank) - 1] = found.last.argmax(1).to(torch.uint8)
        self.logits.copy_(total(found.logits) / num_processes())  # the same in every process, to the last bit
        self.bank.add(self.logits.argmax(1), epoch, found.value)
        self.plateau.reset()

    def _due(self, epoch: int) -> bool:
        if self.cfg.finder == "none":
            return False
        if not len(self.bank):
            return epoch >= self.cfg.warmup_epochs
        if epoch - int(self.bank.epochs[len(self.bank) - 1]) < self.cfg.maximize_every:
            return False
        return self.cfg.maximize_when == "every" or int(self.plateau.waited) >= self.cfg.patience

    def _search(self, passes: Passes) -> Found:
        cfg = self.cfg
        generator = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, ())))
        batches: Online | Stored = Online(passes, self._embed, cfg.search_batch_size)
        if not cfg.search_online:
            size = cfg.search_batch_size
            batches = store(passes.with_views(), self._embed, batch_size=size, generator=generator)
        problem = Problem(
            num_images=len(self.logits),
            num_environments=cfg.num_environments,
            batches=batches,
            terms=self.subset_loss.sought,
            constraint=lambda q: imbalance(q, cfg.constraint, published="balance" not in self.mended),
            penalty=self._variance if cfg.penalty == "v-rex" else mean_penalty,
            penalty_weight=cfg.search_penalty_weight,
        )
        if cfg.finder != "learned":
            return (clusters if cfg.finder == "clusters" else ranked)(problem, cfg.restarts, generator)
        start = torch.randn(cfg.restarts, *self.logits.shape, generator=generator).to(self.logits)
        if len(self.bank) and not cfg.random_start:
            start[0] = self.logits
        schedule = Schedule(lr=cfg.search_lr, most=cfg.search_turns, tolerance=1e-3, decays=2)
        if cfg.search_stop == "published":
            schedule = PUBLISHED_MIXED_ONLINE if cfg.search_online and cfg.search_mixup else PUBLISHED
        return learned(problem, start, schedule)

    @torch.no_grad()
    def _embed(self, batch: Batch) -> FeatureBatch:
        first, second = batch.views.unbind(1)
        partner = share = None
        if self.cfg.search_mixup:
            partner, share = (part.to(first.device) for part in mixing(len(first), self.cfg.mixup_alpha))
            first = mixed(first, partner, share)
        one, two = (torch.cat([self.outputs(x) for x in view.split(self.cfg.batch_size)]) for view in (first, second))
        return FeatureBatch(batch.index, one, two, partner, share)


def _of_all_processes(partner: Int[Tensor, " b"]) -> Int[Tensor, " g"]:
    """Rows of each process's share of a batch become rows of the batch."""
    every = gather(partner.double()).long().unflatten(0, (num_processes(), -1))
    return (every + len(partner) * torch.arange(len(every), device=every.device)[:, None]).flatten()


def _check(cfg: Config, mended: frozenset[str]) -> None:
    """Raises: UserError if options do not go together."""
    if cfg.num_environments > 256:
        raise UserError(f"num_environments {cfg.num_environments} is more than the 256 that a partition can name")
    if cfg.objective != "simclr":
        if cfg.penalty != "v-rex":
            raise UserError(f"objective {cfg.objective} has no logits for penalty {cfg.penalty}; use penalty v-rex")
        if cfg.mixup or cfg.search_mixup:
            raise UserError(f"objective {cfg.objective} has no mixup form; use objective simclr")
    if cfg.tau_plus and (cfg.objective != "simclr" or cfg.mixup or not 0 < cfg.tau_plus < 1):
        raise UserError(f"tau_plus {cfg.tau_plus} must be a share below 1, of objective simclr without mixup")
    if cfg.search_online and cfg.finder in ("clusters", "ranked"):
        raise UserError(f"finder {cfg.finder} needs features of all images at once; use search_online false")
    if cfg.search_mixup and not cfg.search_online and "same-loss" in mended:
        raise UserError("search_mixup needs search_online, for the partner of a mixture must be in its batch")
