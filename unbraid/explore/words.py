"""What the page says and shows: Markdown, and images with captions as HTML."""

import base64
import io
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup

from unbraid.data.pictures import from_pixels
from unbraid.explore.explorer import Answer, Neighbour, OpenRun
from unbraid.records import Record


def heading(opened: OpenRun) -> str:
    config, (channels, height, width) = opened.encoder.config, opened.spec.image_shape
    color = "grey" if channels == 1 else "colour"
    others = "are resized and their centre is cut out" if height == width else "are refused"
    return (
        f"# {plain(opened.run.name)}\n"
        f"`{config.method}` trained on `{config.data}`: {opened.codes.z.shape[1]} dimensions from {color} images of "
        f"{height} x {width}. Images of other sizes {others}."
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
        f"The linear probe takes this image for **{plain(first)}**, with {probability:.0%}. "
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
    lines = [headings, ["---"] * len(headings), *(map(plain, row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(text: str) -> str:
    """A name as it is, on one line: nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>&~|$:@])", r"\\\1", " ".join(text.split()))


def one_image(opened: OpenRun) -> str:
    return "a test image of the run" if opened.has_test_images else "an image of the run"


def neighbour_heading(opened: OpenRun) -> str:
    images = "test images" if opened.has_test_images else "images of the run"
    return (
        f"### What the encoder sees, and the nearest {images}\n"
        f"With the cosine similarity of the codes. Half of the {images} have a neighbour of at least "
        f"{opened.usual_similarity:.2f}; an image that has none is unlike the data, and its answers mean little."
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
    from_pixels(image).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
