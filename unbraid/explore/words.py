"""What the page says and shows: Markdown, and images with captions as HTML."""

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from PIL import Image

from unbraid.explore.explorer import Answer, Explorer, Neighbour
from unbraid.records import Record


def heading(explorer: Explorer) -> str:
    config, (channels, height, width) = explorer.encoder.config, explorer.spec.image_shape
    color = "grey" if channels == 1 else "colour"
    return (
        f"# {explorer.run.name}\n"
        f"`{config.method}` trained on `{config.data}`: {explorer.codes.z.shape[1]} dimensions from {color} images of "
        f"{height} x {width}. Images of other sizes are resized and their centre is cut out."
    )


def answer_table(answers: Iterable[Answer]) -> str:
    """A row for each column: the answer, and how far to trust it."""
    headings = ("column", "answer", "probability", "next likely", "right on test images", "chance")
    return _table(headings, map(_answer_row, answers))


def _answer_row(answer: Answer) -> tuple[str, ...]:
    head = answer.head
    if answer.number is not None:
        return head.column, f"{answer.number:.3g}", "", "", f"off by {head.quality:.3g}", f"off by {head.chance:.3g}"
    (first, probability), (second, less) = answer.likely[:2]
    return (
        head.column,
        first,
        f"{probability:.0%}",
        f"{second} ({less:.0%})",
        f"{head.quality:.0%}",
        f"{head.chance:.0%}",
    )


def domain_sentence(answer: Answer) -> str:
    """The domain probe's answer for this image, against chance."""
    first, probability = answer.likely[0]
    return (
        f"The linear probe takes this image for `{first}`, with {probability:.0%}. "
        f"Whoever knows nothing of the image is right on {answer.head.chance:.0%} of the test images."
    )


def leakage_table(records: Sequence[Record]) -> str:
    """The run's own scores: how often each probe reads the domain."""
    if not records:
        return "The run has no leakage score: `unbraid evaluate` computes it."
    rows = [
        (
            one.variant,
            f"{one.value:.1%}",
            "" if one.low is None else f"{one.low:.1%} to {one.high:.1%}",
            "" if one.chance is None else f"{one.chance:.1%}",
        )
        for one in records
    ]
    return _table(("probe, on all test images", "right", "95 % interval", "chance"), rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def neighbour_heading(explorer: Explorer) -> str:
    return (
        "### What the encoder sees, and the nearest test images\n"
        "With the cosine similarity of the codes. Half of the test images have a neighbour of at least "
        f"{explorer.usual_similarity:.2f}; an image that has none is unlike the data, and its answers mean little."
    )


def neighbour_caption(neighbour: Neighbour) -> str:
    return "\n".join([f"{neighbour.similarity:.2f}", *(f"{name} {value}" for name, value in neighbour.labels.items())])


def strip(images: Iterable[UInt8[np.ndarray, "h w c"]], captions: Iterable[str]) -> str:
    """Images side by side; a new line in a caption is one on the page."""
    figure = Markup('<figure><img src="{}" alt=""><figcaption>{}</figcaption></figure>')
    return Markup('<div class="strip">{}</div>').format(
        Markup("").join(figure.format(_uri(image), caption) for image, caption in zip(images, captions, strict=True))
    )


def _uri(image: UInt8[np.ndarray, "h w c"]) -> str:
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
