"""The page's figures as inline SVG, and its images as data URIs. Every function is pure: arrays in, text out."""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from PIL import Image

from unbraid.data.pictures import from_pixels
from unbraid.report.tables import Tradeoff, interval
from unbraid.seeds import integer, stream
from unbraid.tables import Codes

METHOD_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#3d3d3d")  # Okabe and Ito
VALUE_COLORS = (  # Petroff 2021, arXiv:2107.02270: ten that stay apart for colour-blind readers
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "osD^vPX"
MAX_MAP_POINTS = 1000
THUMB_SIDE = 64
STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#8a8a8a",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "grid.color": "#ececec",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": "#333333",
    "text.parse_math": False,  # labels come from users: a dollar sign is a dollar sign
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks in every figure of a page."""

    color: str
    marker: str


@dataclass(frozen=True)
class Map:
    """A map, and the colour of each value where there are few."""

    figure: Markup
    legend: list[tuple[str, str]]


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """A colour and a marker per method; both repeat after seven methods, together only after forty-nine."""
    count = len(METHOD_COLORS)
    return {
        name: MethodStyle(METHOD_COLORS[place % count], MARKERS[(place + place // count) % len(MARKERS)])
        for place, name in enumerate(sorted(methods))
    }


def tradeoff_figure(found: Tradeoff, styles: Mapping[str, MethodStyle]) -> Markup:
    """Leakage to the right, content upwards, 95 % intervals both ways, chance as dashed lines."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 4.2))
        axes = figure.add_subplot()
        for name, point in found.plotted.items():
            color = styles[name].color
            x, y = point["leakage"], point["content"]
            for ends, across in (("leakage", True), ("content", False)):
                low, high = point[f"{ends}_low"], point[f"{ends}_high"]
                if np.isfinite([low, high]).all():
                    line = ([low, high], [y, y]) if across else ([x, x], [low, high])
                    axes.plot(*line, color=color, linewidth=1.6, alpha=0.75)
            axes.plot(
                x, y, styles[name].marker, color=color, markeredgecolor="white", markersize=8, label=name, zorder=4
            )
            if len(seeds := found.seeds[name]) > 1:
                places = [seed["leakage"] for seed in seeds], [seed["content"] for seed in seeds]
                axes.plot(*places, "o", color=color, markeredgewidth=0, markersize=4, alpha=0.5, zorder=3)
        _chance_lines(axes, found)
        axes.set(xlabel=f"leakage of {found.domain} (lower is better)", ylabel="content (higher is better)")
        axes.set_title("\u2196 better", loc="left", fontsize=11, color="#555555", style="italic")
        axes.margins(0.08)
        axes.update_datalim([(1, 1)])  # from chance to perfect, so that small differences look small
        figure.legend(loc="outside lower center", ncols=2, handletextpad=0.3)
        points = "; ".join(
            f"{name}: leakage {point['leakage']:.3f} {interval(point['leakage_low'], point['leakage_high'])},"
            f" content {point['content']:.3f} {interval(point['content_low'], point['content_high'])}"
            for name, point in found.plotted.items()
        )
        return svg(figure, f"Scatter of leakage against content on {found.data}. {points}.", f"scatter {found.data}")


def _chance_lines(axes: Axes, found: Tradeoff) -> None:
    leakage, content = (
        float(np.mean([point[f"{name}_chance"] for point in found.plotted.values()])) for name in ("leakage", "content")
    )
    grey = "#777777"
    if np.isfinite(leakage):
        axes.axvline(leakage, color=grey, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            "chance", (leakage, 0.5), (-3, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, ha="right", va="center", color=grey, fontsize=9.5,
        )  # fmt: skip
    if np.isfinite(content):
        axes.axhline(content, color=grey, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            "chance", (0.5, content), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="center", va="bottom", color=grey, fontsize=9.5,
        )  # fmt: skip


def project(codes: Codes, seed: int) -> tuple[Codes, Float[np.ndarray, "n 2"], str]:
    """At most 1,000 test codes in the plane.

    Returns:
        The codes that were drawn, their points, and the name of the projection.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    codes = codes.rows("test")
    rows = np.sort(stream(seed, "report", "map").permutation(len(codes))[:MAX_MAP_POINTS])
    mask = np.zeros(len(codes), dtype=bool)
    mask[rows] = True
    columns = {name: column[mask] for name, column in codes.columns.items()}
    codes = Codes(spec=codes.spec, z=codes.z[mask], columns=columns, split=codes.split[mask])
    if len(codes) < 100 or codes.z.shape[1] < 3:  # too few neighbours for t-SNE
        points = PCA(min(2, *codes.z.shape)).fit_transform(codes.z)
        return codes, np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), "PCA"
    state = integer(seed, "report", "t-SNE") % 2**32
    return codes, TSNE(init="pca", random_state=state).fit_transform(codes.z), "t-SNE"


def map_figure(codes: Codes, points: Float[np.ndarray, "n 2"], column: str, name: str) -> Map:
    """The projected codes, coloured by one column.

    Args:
        name: Unique on the page.
    """
    values, size = codes.columns[column], codes.spec.sizes.get(column)
    cyclic = column in codes.spec.circular
    named = size is not None and size <= len(VALUE_COLORS) and not cyclic
    cmap: str | Colormap = ListedColormap(VALUE_COLORS[:size]) if named else _cyclic_map() if cyclic else "viridis"
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(3.1, 3.1))
        axes = figure.add_subplot()
        dots = axes.scatter(
            points[:, 0], points[:, 1], c=values, cmap=cmap, s=8, linewidths=0, alpha=0.85, rasterized=True
        )
        if size is not None:
            dots.set_clim(-0.5, size - 0.5)
        axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim", title=column)
        axes.spines[:].set_visible(False)
        if not named:
            bar = figure.colorbar(dots, ax=axes, orientation="horizontal", shrink=0.7, aspect=28, pad=0.02)
            bar.outline.set_visible(False)  # type: ignore[operator]
        drawn = svg(figure, f"Map of {len(points)} test codes coloured by {column}.", name)
    return Map(drawn, list(zip(VALUE_COLORS, codes.spec.names_of(column))) if named else [])


def _cyclic_map() -> ListedColormap:
    shades = matplotlib.colormaps["twilight"](np.linspace(0, 1, 256))
    return ListedColormap(shades[:, :3] * 0.82)  # its pale ends would fade on white


def curves_figure(lines: Sequence[Mapping[str, Any]], color: str, name: str) -> Markup | None:
    """Every logged term over training, each on its own axes; None if nothing was logged."""
    keys = list(dict.fromkeys(key for line in lines for key in line if "/" in key))
    if not keys:
        return None
    clock = "epoch" if all("epoch" in line for line in lines) else "step"
    with matplotlib.rc_context({**STYLE, "font.size": 10}):
        height = -(-len(keys) // 2)
        figure = Figure(figsize=(5.2, 0.4 + 1.75 * height))
        for place, key in enumerate(keys, start=1):
            logged = [(line.get(clock), line[key]) for line in lines if line.get(key) is not None]
            axes = figure.add_subplot(height, min(2, len(keys)), place)
            axes.plot(*zip(*logged), color=color, linewidth=1.4)
            axes.set_title(key, fontsize=10.5, loc="left")
            axes.set_xlabel(clock, fontsize=9.5)
        last = ", ".join(f"{key} ends at {_last(lines, key):.3g}" for key in keys)
        return svg(figure, f"Training curves: {last}.", name)


def weights_figure(weight: Float[np.ndarray, " n"], aligned: Bool[np.ndarray, " n"] | None, name: str) -> Markup | None:
    """How the weights W of training images are spread, apart by whether they are aligned; None if there are none.

    Args:
        name: Unique on the page.
    """
    groups = {"all": ~np.isnan(weight)} if aligned is None else {"aligned": aligned, "conflicting": ~aligned}
    groups = {word: weight[rows & ~np.isnan(weight)] for word, rows in groups.items()}
    groups = {word: values for word, values in groups.items() if len(values)}
    if not groups:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 2.9))
        axes = figure.add_subplot()
        for (word, values), color, line in zip(groups.items(), METHOD_COLORS, ("-", (0, (4, 2)))):
            shares, edges = np.histogram(values, bins=20, range=(0, 1))
            label = f"{word}: {len(values)}"
            axes.stairs(shares / len(values), edges, fill=True, color=color, alpha=0.18)
            axes.stairs(shares / len(values), edges, color=color, linewidth=1.8, linestyle=line, label=label)
        axes.set(xlabel="W: near 1 where the biased network fails", ylabel="share of each", xlim=(0, 1), ylim=(0, None))
        figure.legend(loc="outside lower center", ncols=2)
        medians = "; ".join(f"{word}: median {np.median(values):.3f}" for word, values in groups.items())
        return svg(figure, f"Histogram of the weight W of training images. {medians}.", name)


def _last(lines: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(next(line[key] for line in reversed(lines) if line.get(key) is not None))


def svg(figure: Figure, alt: str, name: str) -> Markup:
    """The figure as an element to stand inside HTML; ``name`` keeps its ids apart from those of other figures."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None}, dpi=144, transparent=True)
    body = text.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body[body.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' (?:d|x|y)="[^"]*"', _rounded, body)
    return Markup(body.replace("<svg", Markup('<svg role="img" aria-label="{}"').format(alt), 1))


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point: most of a large figure is their digits."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def thumb_uri(image: UInt8[np.ndarray, "h w c"]) -> str:
    """A PNG data URI of a small copy in at most 256 colours: a page holds hundreds of them."""
    picture = from_pixels(image)
    picture.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return _uri(picture.quantize(256))


def _uri(picture: Image.Image, kind: str = "png", **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **(options or {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def swap_uri(images: UInt8[np.ndarray, "r q h w c"]) -> str:
    """A PNG data URI of the grid as one picture, with a wider gap behind the given row and column."""
    rows, columns, height, width, channels = images.shape
    gap, step_y, step_x = 4, height + 1, width + 1
    grid = np.full((rows * step_y + gap, columns * step_x + gap, channels), 255, dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            if row or column:
                top, left = row * step_y + gap * (row > 0), column * step_x + gap * (column > 0)
                grid[top : top + height, left : left + width] = images[row, column]
    return _uri(from_pixels(grid))


def row_uri(images: UInt8[np.ndarray, "q h w c"]) -> str:
    """A PNG data URI of images beside each other, with a wider gap behind the first."""
    blank = np.full_like(images[0, :, :1], 255)
    parts = [part for place, image in enumerate(images) for part in (image, *[blank] * (5 if place == 0 else 1))]
    return _uri(from_pixels(np.concatenate(parts[:-1], axis=1)))


def sheet_uri(images: UInt8[np.ndarray, "m h w c"], across: int) -> str:
    """A lossless WebP data URI of all images in rows of ``across``, each in the middle of a white square."""
    num, height, width, channels = images.shape
    side, down = max(height, width), -(-num // across)
    top, left = (side - height) // 2, (side - width) // 2
    squares = np.full((down * across, side, side, channels), 255, dtype=np.uint8)
    squares[:num, top : top + height, left : left + width] = images
    grid = squares.reshape(down, across, side, side, channels).swapaxes(1, 2)
    return _uri(from_pixels(grid.reshape(down * side, across * side, channels)), "webp", lossless=True)
