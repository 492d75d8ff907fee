"""The page: Gradio's components, and the functions that fill them. No request leaves this machine."""

import importlib.util
import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from unbraid.data.pictures import from_pixels
from unbraid.encode import encode_pixels
from unbraid.errors import UserError
from unbraid.explore import words
from unbraid.explore.access import own_page_only
from unbraid.explore.explorer import (
    OpenRun,
    answers,
    leakage,
    neighbours,
    random_image,
    read_pixels,
    swap,
    traverse,
)
from unbraid.seeds import stream

if TYPE_CHECKING:
    import gradio

_SHOWN = 8  # neighbours, and domains that are drawn at first
_REACH = 3.0  # of a slider, in standard deviations of the prior
_CSS = """
footer {display: none !important}
.prose td, .prose th {padding: 3px 10px; white-space: nowrap}
.strip {display: flex; flex-wrap: wrap; gap: 12px}
.strip figure {width: 120px; margin: 0}
.strip img {width: 120px; image-rendering: pixelated; border-radius: 4px}
.strip figcaption {font-size: 12px; line-height: 1.35; white-space: pre-line; overflow-wrap: anywhere}
"""


@contextmanager
def serve(opened: OpenRun, host: str = "127.0.0.1", port: int = 7860) -> Iterator[str]:
    """The address of the page, which is there while the block runs; images dropped on it are deleted at its end.

    Raises:
        UserError: As `check_address`.
    """
    check_address(host, port)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build(opened)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                ssr_mode=False,
                enable_monitoring=False,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                theme=_theme(),
                css=_CSS,
                app_kwargs={"middleware": own_page_only(host)},
            )
            yield address
        finally:
            page.close(verbose=False)


def _gradio() -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it would be asked for at every event
    import gradio

    return gradio


def check_address(host: str, port: int) -> None:
    """Raises: UserError if gradio is not installed, or nothing can be served there."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("unbraid explore needs one more package: pip install 'unbraid[app]'")
    if not 0 < port < 2**16:
        raise UserError(f"--port must be from 1 to 65535, not {port}")
    try:
        socket.getaddrinfo(host, port, socket.AF_INET)
        socket.create_server((host, port)).close()
    except socket.gaierror:
        raise UserError(f"--host takes an IPv4 address of this machine, or a name of it, not {host!r}") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # its own text names the address again
        raise UserError(f"cannot serve at {host}:{port} ({reason}); choose another --port or --host") from None


def _theme() -> Any:
    """Fonts of the system: by default Gradio's are loaded."""
    font = _gradio().themes.Font
    fonts = {"font": [font("system-ui"), font("sans-serif")], "font_mono": [font("ui-monospace"), font("monospace")]}
    return _gradio().themes.Base(**fonts)


def build(opened: OpenRun) -> "gradio.Blocks":
    """The page of a run; a part for which its method or data have nothing is left out."""
    gradio = _gradio()
    with gradio.Blocks(title=f"{opened.run.name} - unbraid") as page:
        gradio.Markdown(words.heading(opened))
        with gradio.Row():
            with gradio.Column(scale=1, min_width=240):
                file = gradio.Image(
                    label="your image",
                    type="filepath",
                    image_mode=None,  # the file as it is: pictures.py decides on transparency, rotation and depth
                    format="png",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=260,
                )
                another = gradio.Button(f"take {words.one_image(opened)}", size="sm")
            with gradio.Column(scale=3):
                if opened.heads:
                    _add_answers(opened, file)
        turns = itertools.count()

        def take() -> Image.Image:
            return from_pixels(random_image(opened, stream(0, "explore", next(turns))))

        another.click(take, outputs=file, api_name="test_image")
        _add_neighbours(opened, file)
        if opened.swaps:
            _add_swap(opened, file)
        if len(opened.sliders):
            _add_traversal(opened, file)
    return page


def _add_answers(opened: OpenRun, file: Any) -> None:
    """All that the code should tell, and the domain, which it should not."""
    gradio, domain = _gradio(), opened.spec.domain
    gradio.Markdown("### What linear probes read from its code")
    table, outputs = gradio.Markdown(), []
    if domain is not None and domain in opened.heads:
        gradio.Markdown(f"### How much of the domain, {words.plain(domain)}, the code gives away")
        with gradio.Row():
            with gradio.Column(scale=2, min_width=240):
                outputs = [gradio.Label(show_label=False, show_heading=False, num_top_classes=4), gradio.Markdown()]
            with gradio.Column(scale=3, min_width=240):
                gradio.Markdown(words.leakage_table(leakage(opened)))

    def read(path: str) -> list[Any]:
        found = {answer.head.column: answer for answer in answers(opened, _encode(opened, path))}
        told = found.pop(domain, None) if domain else None
        rest = [] if told is None else [dict(told.likely), words.domain_sentence(told)]
        return [words.answer_table(found.values()), *rest]

    _fill([file.change], read, [file], [table, *outputs], "answers")


def _add_neighbours(opened: OpenRun, file: Any) -> None:
    gradio = _gradio()
    gradio.Markdown(words.neighbour_heading(opened))
    each = gradio.Checkbox(label="one of each domain", container=False, visible=opened.spec.domain is not None)
    images = gradio.HTML()

    def near(path: str, each_domain: bool) -> str:
        pixels = read_pixels(opened, path)
        z = encode_pixels(opened.encoder.method, pixels)
        found = neighbours(opened, z, _SHOWN, each_domain=each_domain)
        shown = [pixels[0], *(opened.dataset.images[one.row] for one in found)]
        return words.strip(shown, ["your image", *map(words.neighbour_caption, found)])

    _fill([file.change, each.change], near, [file, each], [images], "neighbours")


def _add_swap(opened: OpenRun, file: Any) -> None:
    gradio, names = _gradio(), _domains(opened)
    gradio.Markdown("### Its content, drawn in other domains")
    first = np.unique(np.linspace(0, len(names) - 1, _SHOWN).astype(int)).tolist()
    chosen = gradio.Dropdown(names, value=first, multiselect=True, show_label=False, container=False)
    images = gradio.HTML()

    def draw(path: str, domains: list[int]) -> str:
        if not domains:
            return ""
        return words.strip(swap(opened, _encode(opened, path), domains), [names[domain][0] for domain in domains])

    _fill([file.change, chosen.change], draw, [file, chosen], [images], "swap")


def _add_traversal(opened: OpenRun, file: Any) -> None:
    gradio, names, kl = _gradio(), _domains(opened), opened.codes.kl
    assert kl is not None
    gradio.Markdown("### One dimension at a time, in standard deviations of the prior")
    with gradio.Row():
        with gradio.Column(scale=1, min_width=240):
            domain = gradio.Dropdown(names, value=0, label="drawn in", visible=opened.swaps)
            images = gradio.HTML()
        with gradio.Column(scale=3), gradio.Row():
            sliders = [
                gradio.Slider(
                    -_REACH,
                    _REACH,
                    value=0,
                    step=0.05,
                    label=f"{dim}, KL {kl[dim]:.2f} nats",
                    min_width=200,
                    buttons=[],
                )
                for dim in opened.sliders
            ]

    def draw(path: str, domain: int, *values: float) -> str:
        return words.strip(traverse(opened, _encode(opened, path), values, domain), ["as decoded", "moved"])

    def begin(path: str, domain: int) -> list[Any]:
        values = _encode(opened, path)[0, opened.sliders].clip(-_REACH, _REACH).astype(float).round(2).tolist()
        return [draw(path, domain, *values), *values]

    _fill([file.change], begin, [file, domain], [images, *sliders], "place_sliders")
    moves = [domain.input, *(slider.input for slider in sliders)]
    _fill(moves, draw, [file, domain, *sliders], [images], "traverse")


def _domains(opened: OpenRun) -> list[tuple[str, int]]:
    """Names of the domain's values with their numbers; one without a name where the data have no domain."""
    domain = opened.spec.domain
    return [("", 0)] if domain is None else [(name, i) for i, name in enumerate(opened.spec.names_of(domain))]


def _encode(opened: OpenRun, path: str) -> Float32[np.ndarray, "1 d"]:
    return encode_pixels(opened.encoder.method, read_pixels(opened, path))


def _fill(
    triggers: Sequence[Any], answer: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], name: str
) -> None:
    """At any of these events, fill components with the answer for the image; empty them where there is none."""
    gradio = _gradio()

    def call(path: str | None, *others: Any) -> Any:
        if path is None:
            found = [0 if isinstance(one, gradio.Slider) else None for one in outputs]
            return found if len(found) > 1 else found[0]
        try:
            return answer(path, *others)
        except UserError as error:
            raise gradio.Error(str(error), title="No answer", print_exception=False) from None

    gradio.on(triggers, call, inputs, outputs, api_name=name, show_progress="hidden", trigger_mode="always_last")
