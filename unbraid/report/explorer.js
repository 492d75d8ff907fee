// The neighbours of one test image under every run. All images are tiles of one sheet, the tiles' background.

for (const root of document.querySelectorAll(".explorer")) {
  explore(root, JSON.parse(root.querySelector("script").textContent));
  root.hidden = false;
  document.getElementById(root.id.replace(/explorer$/, "strips-fixed")).open = false;
}

function explore(root, data) {
  const tiles = Array.from({ length: data.count }, (_, index) => radio(data, index, () => choose(index)));
  const gallery = element("div", { class: "tiles", role: "radiogroup", "aria-label": "Test images" }, ...tiles);
  const query = element("div", { class: "query" });
  const table = element("table", { class: "near", "aria-label": "Nearest images under each run" });
  const box = element("input", { type: "checkbox" });
  const domain = data.columns.find((column) => column.domain);
  let chosen = 0;

  function choose(index) {
    tiles[chosen].tabIndex = -1;
    tiles[chosen].setAttribute("aria-checked", "false");
    chosen = index;
    tiles[chosen].tabIndex = 0;
    tiles[chosen].setAttribute("aria-checked", "true");
    scrollTo(gallery, tiles[chosen]);
    query.replaceChildren(...described(data, chosen));
    table.replaceChildren(head(data), ...data.runs.map((run) => body(data, run, chosen, box.checked, follow)));
  }

  function follow(index) {
    choose(index);
    tiles[index].focus({ preventScroll: true }); // the neighbour that was clicked is gone
  }

  gallery.addEventListener("keydown", (event) => {
    const next = after(event.key, chosen, tiles);
    if (next === undefined) return;
    event.preventDefault();
    if (tiles[next]) follow(next);
  });
  box.addEventListener("change", () => choose(chosen));
  const choice = domain ? [element("label", {}, box, ` only neighbours of another ${domain.name}`)] : [];
  root.append(gallery, query, ...choice, element("div", { class: "scroll" }, table));
  choose(0);
}

// The place that a key leads to; undefined for keys that lead nowhere.
function after(key, place, tiles) {
  const across = tiles.filter((one) => one.offsetTop === tiles[0].offsetTop).length;
  return {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - across,
    ArrowDown: place + across,
    Home: 0,
    End: tiles.length - 1,
  }[key];
}

function radio(data, index, choose) {
  const one = tile(data, index);
  for (const [name, value] of Object.entries({ role: "radio", "aria-checked": "false", tabindex: -1 })) {
    one.setAttribute(name, value);
  }
  one.addEventListener("click", choose);
  return one;
}

function head(data) {
  const width = Math.max(...data.runs.flatMap((run) => run.nearest.map((found) => found.length)));
  const numbers = Array.from({ length: width }, (_, place) => element("th", { scope: "col" }, String(place + 1)));
  const same = element("th", { scope: "col" }, "the same");
  return element("thead", {}, element("tr", {}, element("td"), ...numbers, same));
}

// One run: a row of images, then a row for each label column.
function body(data, run, query, others, follow) {
  const found = (others ? run.others : run.nearest)[query];
  const key = element("span", { class: "key", style: `background: ${run.color}` });
  const images = found.map((index) => {
    const image = tile(data, index);
    image.addEventListener("click", () => follow(index));
    return element("td", {}, image);
  });
  const title = element("th", { scope: "rowgroup" }, key, run.title);
  const rows = data.columns.map((column) => {
    const same = found.filter((index) => !differs(column, index, query));
    const cells = found.map((index) => valueCell(column, index, query));
    const count = element("td", { class: "count" }, `${same.length} of ${found.length}`);
    return element("tr", {}, element("th", { scope: "row" }, nameOf(column)), ...cells, count);
  });
  return element("tbody", {}, element("tr", { class: "images" }, title, ...images), ...rows);
}

function valueCell(column, index, query) {
  const said = valueOf(column, index);
  const cell = element("td", { class: /\s/.test(said) ? "" : "whole", title: said }, said);
  if (differs(column, index, query)) {
    cell.classList.add("differs");
    cell.prepend(element("span", { role: "img", "aria-label": "differs:" }, "\u2260\u00a0"));
  }
  return cell;
}

function described(data, index) {
  const image = tile(data, index);
  image.disabled = true;
  const lines = data.columns.flatMap((column) => [
    element("dt", {}, nameOf(column)),
    element("dd", {}, valueOf(column, index)),
  ]);
  return [image, element("dl", {}, ...lines)];
}

function tile(data, index) {
  const down = Math.ceil(data.count / data.across);
  const part = (place, num) => (num > 1 ? (100 * place) / (num - 1) : 0);
  const x = part(index % data.across, data.across);
  const y = part(Math.floor(index / data.across), down);
  const said = data.columns.map((column) => `${column.name} ${valueOf(column, index)}`).join(", ");
  const label = `Image ${index + 1}${said && ": "}${said}`;
  const style = `background-position: ${x}% ${y}%`;
  return element("button", { type: "button", class: "tile", style, "aria-label": label, title: said, "data-index": index });
}

function nameOf(column) {
  return column.domain ? `${column.name} (domain)` : column.name;
}

function valueOf(column, index) {
  return column.names[column.values[index]] ?? "unknown";
}

function differs(column, index, query) {
  return column.values[index] !== column.values[query] || column.values[query] < 0; // -1: unknown
}

// Scrolls the box alone, not the page.
function scrollTo(box, inner) {
  const [top, bottom] = [inner.offsetTop, inner.offsetTop + inner.offsetHeight];
  if (top < box.scrollTop) box.scrollTop = top;
  if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}
