// Swap grids: the cell under the pointer or the arrow keys, enlarged between the two images that it is made of.
// Traversals: a slider under each row of frames, and the frame at which it stands, enlarged.

const BORDER = 1; // pixels between images, as plots.py draws them
const SWAP_GAP = 4; // more behind the first row and column of a grid
const ROW_GAP = 5; // in all, behind the first image of a row
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

for (const sheet of document.querySelectorAll(".swap")) {
  const image = sheet.querySelector("img");
  image.decode().then(() => showSwaps(sheet, image));
}
for (const image of document.querySelectorAll(".traversal img")) {
  image.decode().then(() => addSlider(image));
}

function showSwaps(sheet, image) {
  const [contents, domains] = [sheet.dataset.contents, sheet.dataset.domains].map((text) => JSON.parse(text));
  const width = (image.naturalWidth - SWAP_GAP) / (contents.length + 1);
  const height = (image.naturalHeight - SWAP_GAP) / (domains.length + 1);
  const at = (place, size) => place * size + (place ? SWAP_GAP : 0);
  const frames = ["content", "decoded", "domain"].map((name) => frame(name, width - BORDER, height - BORDER));
  const marker = element("span", { class: "marker" });
  const label = "Swap grid; the arrow keys choose a cell";
  const grid = element("div", { class: "grid", tabindex: 0, role: "group", "aria-label": label });
  image.before(grid);
  grid.append(image, marker);
  sheet.after(element("div", { class: "look", "aria-live": "polite" }, ...frames.map((one) => one.figure)));

  let [row, column] = [0, 0];
  function choose(nextRow, nextColumn) {
    const [oldRow, oldColumn] = [row, column];
    row = Math.min(Math.max(nextRow, 1), domains.length);
    column = Math.min(Math.max(nextColumn, 1), contents.length);
    if (row === oldRow && column === oldColumn) return;
    const said = [`content: ${contents[column - 1]}`, "decoded", `domain: ${domains[row - 1]}`];
    const places = [[0, column], [row, column], [row, 0]];
    places.forEach(([y, x], place) => frames[place].show(image, at(x, width), at(y, height), said[place]));
    surround(marker, image, at(column, width), at(row, height), width - BORDER, height - BORDER);
  }

  grid.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(row + step[0], column + step[1]);
  });
  for (const kind of ["pointermove", "click"]) {
    grid.addEventListener(kind, (event) => {
      const box = image.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * image.naturalWidth - SWAP_GAP;
      const y = ((event.clientY - box.top) / box.height) * image.naturalHeight - SWAP_GAP;
      choose(Math.floor(y / height), Math.floor(x / width));
    });
  }
  choose(1, 1);
}

// Places the marker over a part of an image, whatever size that is shown at.
function surround(marker, image, left, top, width, height) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(marker.style, {
    left: share(left, image.naturalWidth),
    top: share(top, image.naturalHeight),
    width: share(width, image.naturalWidth),
    height: share(height, image.naturalHeight),
  });
}

function addSlider(image) {
  const { name, values: text } = image.dataset;
  const values = JSON.parse(text);
  const width = (image.naturalWidth - ROW_GAP - (values.length - 2) * BORDER) / values.length;
  const shown = frame("decoded", width, image.naturalHeight);
  const slider = element("input", { type: "range", min: 0, max: values.length - 1, value: 0, "aria-label": name });
  const strip = element("div");
  image.before(strip);
  strip.append(image, slider);
  strip.nextElementSibling.after(shown.figure);
  image.closest(".traversal").classList.add("with-sliders");

  function move() {
    const place = Number(slider.value);
    const left = place ? ROW_GAP + width + (place - 1) * (width + BORDER) : 0;
    shown.show(image, left, 0, values[place]);
    slider.setAttribute("aria-valuetext", values[place]);
  }
  slider.addEventListener("input", move);
  move();
}

// A canvas for a part of a picture, with what is said of it.
function frame(name, width, height) {
  const canvas = element("canvas", { role: "img", width, height });
  const caption = element("figcaption");
  const show = (image, left, top, said) => {
    canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
    canvas.setAttribute("aria-label", said);
    caption.textContent = said;
  };
  return { figure: element("figure", { class: `frame ${name}` }, canvas, caption), show };
}
