"""The page in a browser, as a person uses it: by mouse, by keyboard, and without scripts."""

import shutil

import numpy as np
import pytest
from fake_galleries import COLORS, GALLERY, write_galleries

from unbraid.report import report
from unbraid.report.runs import read_arrays
from unbraid.tables import Codes

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on the PATH")

FLAGS = """
--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
--disable-sync
""".split()  # noqa: SIM905 - as they are typed
NAMES = ("digit", "angle", "color")  # of the label columns, content first


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_galleries(tmp_path_factory.mktemp("galleries"))


@pytest.fixture(scope="module")
def address(runs):
    root = runs[0].path.parent
    return report([root], root / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)


@pytest.fixture
def page(browser, address):
    """The page just opened; afterwards it has asked for nothing but itself and complained of nothing."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(address)
    yield opened
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []
    opened.close()


def gallery(run):
    """Codes of the gallery's images in the order of the page."""
    codes = Codes.load(run.codes)
    rows = read_arrays(run.samples)["gallery_rows"]
    return codes.take(np.array(sorted(rows, key=lambda row: [codes.columns[name][row] for name in NAMES])))


def nearest(run, query, *, other_colors=False):
    codes = gallery(run)
    unit = codes.z / np.linalg.norm(codes.z, axis=1, keepdims=True)
    color = codes.columns["color"]
    order = np.argsort(((unit - unit[query]) ** 2).sum(axis=1))
    return [place for place in order if place != query and not (other_colors and color[place] == color[query])][:8]


def shown(page):
    """Title of each run -> the images under it."""
    bodies = page.locator(".near tbody").all()
    places = "tiles => tiles.map(tile => Number(tile.dataset.index))"
    return {body.locator("th").first.inner_text(): body.locator(".tile").evaluate_all(places) for body in bodies}


def expected(runs, query, **how):
    return {f"{run.name.partition('-')[0]}, seed 0": nearest(run, query, **how) for run in runs}


def chosen(page):
    return int(page.locator(".tiles [aria-checked=true]").get_attribute("data-index"))


def pixels(canvas):
    """What a canvas shows, (H, W, 3)."""
    height, width, *values = canvas.evaluate("""canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        return [canvas.height, canvas.width, ...copy.getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    return np.array(values, dtype=np.uint8).reshape(height, width, 4)[..., :3]


def test_a_click_shows_the_neighbours_under_every_run(page, runs):
    assert page.locator(".tiles .tile").count() == GALLERY
    assert shown(page) == expected(runs, 0)
    page.locator(".tiles .tile").nth(17).click()
    assert shown(page) == expected(runs, 17)
    follow = nearest(runs[0], 17)[2]
    page.locator(".near tbody").first.locator(".tile").nth(2).click()
    assert (chosen(page), shown(page)) == (follow, expected(runs, follow))


def test_what_differs_is_marked(page, runs):
    page.locator(".tiles .tile").nth(5).click()
    codes = gallery(runs[0])
    found = nearest(runs[0], 5)
    rows = page.locator(".near tbody").first.locator("tr").all()[1:]
    for name, row in zip(NAMES, rows, strict=True):
        values = codes.columns[name]
        words = COLORS if name == "color" else [str(value) for value in range(12)]
        said = ["" if values[place] == values[5] else "\u2260\u00a0" for place in found]
        texts = [one.text_content() for one in row.locator("td").all()]
        assert texts[:-1] == [mark + words[values[place]] for mark, place in zip(said, found)]
        assert texts[-1] == f"{said.count('')} of 8"
    assert page.locator(".query dd").all_inner_texts()[-1] == COLORS[codes.columns["color"][5]]


def test_the_keyboard_chooses(page, runs):
    page.locator(".tiles [aria-checked=true]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert (chosen(page), shown(page)) == (1, expected(runs, 1))
    across = page.locator(".tiles").evaluate("box => getComputedStyle(box).gridTemplateColumns.split(' ').length")
    page.keyboard.press("ArrowDown")
    assert chosen(page) == 1 + across
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert chosen(page) == GALLERY - 1
    assert page.locator(".tiles").evaluate(
        "box => box.lastChild.getBoundingClientRect().bottom <= box.getBoundingClientRect().bottom"
    )
    page.keyboard.press("Home")
    assert chosen(page) == 0
    page.locator(".near .tile").first.focus()
    page.keyboard.press("Enter")
    assert chosen(page) == nearest(runs[0], 0)[0]
    assert page.evaluate("document.activeElement.getAttribute('role')") == "radio"


def test_only_other_domains(page, runs):
    page.locator(".tiles .tile").nth(9).click()
    page.get_by_label("only neighbours of another color").check()
    assert shown(page) == expected(runs, 9, other_colors=True)
    assert shown(page) != expected(runs, 9)
    page.locator(".tiles .tile").nth(10).click()
    assert shown(page) == expected(runs, 10, other_colors=True)


def test_a_cell_of_the_swaps_stands_between_what_it_is_made_of(page, runs):
    grid = read_arrays(runs[0].samples)["swap_images"]
    height, width = grid.shape[2:4]
    image, canvases = page.locator(".swap img"), page.locator(".look canvas")

    def assert_shows(row, column):
        for canvas, (y, x) in zip(canvases.all(), [(0, column), (row, column), (row, 0)], strict=True):
            np.testing.assert_array_equal(pixels(canvas), grid[y, x])

    assert_shows(1, 1)
    box = image.bounding_box()
    scale = box["width"] / image.evaluate("one => one.naturalWidth")
    image.hover(position={"x": (4 + 3.5 * (width + 1)) * scale, "y": (4 + 2.5 * (height + 1)) * scale})
    assert_shows(2, 3)
    page.locator(".swap .grid").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert_shows(1, 4)
    codes, row = Codes.load(runs[0].codes), read_arrays(runs[0].samples)["swap_content_rows"][3]
    said = f"content: digit {codes.columns['digit'][row]}, angle {codes.columns['angle'][row]}"
    assert page.locator(".look figcaption").first.inner_text() == said


def test_a_slider_shows_its_frame_and_value(page, runs):
    images = read_arrays(runs[0].samples)["traversal_images"]
    sliders = page.locator(".traversal input").all()
    canvases = page.locator(".traversal canvas").all()
    assert [slider.get_attribute("aria-label") for slider in sliders[:2]] == ["dimension 4", "dimension 1"]
    np.testing.assert_array_equal(pixels(canvases[1]), images[1, 0])
    sliders[1].focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    np.testing.assert_array_equal(pixels(canvases[1]), images[1, 4])
    np.testing.assert_array_equal(pixels(canvases[0]), images[0, 0])
    assert sliders[1].get_attribute("aria-valuetext") == "-0.5"
    assert page.locator(".traversal figcaption").nth(1).inner_text() == "-0.5"


def test_tables_sort_and_chance_stays_last(page):
    table = page.locator("table", has_text="Leakage of color")
    header = table.get_by_role("columnheader", name="six-layer")

    def names():
        return table.locator("tbody th").all_inner_texts()

    header.get_by_role("button").click()
    assert (names(), header.get_attribute("aria-sort")) == (["simclr", "dcodr", "chance"], "descending")
    page.keyboard.press("Enter")
    assert (names(), header.get_attribute("aria-sort")) == (["dcodr", "simclr", "chance"], "ascending")
    table.get_by_role("columnheader", name="method").get_by_role("button").click()
    assert names() == ["dcodr", "simclr", "chance"]
    assert table.locator("[aria-sort]").count() == 1


@pytest.mark.parametrize("clipboard", [True, False])
def test_a_table_is_copied_as_tab_separated_text(page, clipboard):
    page.evaluate(
        """there => {
        const clipboard = { writeText: async (text) => { window.copied = text; } };
        Object.defineProperty(navigator, "clipboard", { value: there ? clipboard : undefined });
        document.addEventListener("copy", () => { window.copied = document.activeElement.value; });
    }""",
        clipboard,
    )
    table = page.locator(".tables > div", has_text="Leakage of color").first
    table.get_by_role("button", name="Copy table").click()
    table.get_by_text("Copied").wait_for()
    head, *rows = [line.split("\t") for line in page.evaluate("window.copied").splitlines()]
    assert head[:5] == ["method", "linear", "linear (spread)", "six-layer", "six-layer (spread)"]
    assert [row[0] for row in rows] == ["dcodr", "simclr", "chance"]
    assert {len(row) for row in rows} == {len(head)}
    assert 0 < float(rows[0][1]) < 1


def test_a_phone_needs_no_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".traversal input").first.bounding_box()["width"] > 150


def test_without_scripts_everything_else_is_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address)
    assert not opened.locator(".explorer").is_visible()
    assert opened.get_by_alt_text("Query, domain").first.is_visible()
    assert opened.locator(".swap img").is_visible()
    assert opened.locator(".traversal img").first.is_visible()
    assert opened.get_by_role("button").count() == 0
    context.close()
