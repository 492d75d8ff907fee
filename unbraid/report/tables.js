// Tables that sort by their headers and copy as tab-separated text. A header that spans two columns is about the first.

for (const table of document.querySelectorAll("main table:not(.swapped)")) {
  if (table.tHead) makeSortable(table);
  addCopyButton(table);
}

function makeSortable(table) {
  let column = 0;
  for (const header of table.tHead.rows[0].cells) {
    const place = column;
    column += header.colSpan;
    const button = element("button", { type: "button", class: "sort" }, ...header.childNodes);
    button.addEventListener("click", () => sort(table, header, place));
    header.append(button);
  }
}

// First the largest number or the first word on top, then the other way round; empty cells and chance stay below.
function sort(table, header, place) {
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[place].textContent.trim()) }));
  const order = header.getAttribute("aria-sort");
  const upwards = order ? order === "descending" : !keyed.some(({ key }) => typeof key === "number");
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", upwards ? "ascending" : "descending");
  keyed.sort((one, other) => isLast(one) - isLast(other) || compare(one.key, other.key) * (upwards ? 1 : -1));
  body.append(...keyed.map(({ row }) => row));
}

function keyOf(text) {
  const number = /^[-+]?\d*\.?\d+(?:e[-+]?\d+)?(?!\w)/.exec(text);
  return number ? parseFloat(number[0]) : text;
}

function isLast({ row, key }) {
  if (row.classList.contains("chance")) return 2;
  return key === "" || key === "not defined" ? 1 : 0;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other));
}

function addCopyButton(table) {
  const button = element("button", { type: "button", class: "copy" }, "Copy table");
  button.addEventListener("click", async () => {
    const done = await copy([...table.rows].map(asText).join("\n") + "\n");
    button.textContent = done ? "Copied" : "Copying is not allowed here";
    setTimeout(() => (button.textContent = "Copy table"), 2000);
  });
  (table.closest(".scroll") ?? table).after(button);
}

function asText(row) {
  return [...row.cells]
    .flatMap((cell) => {
      const text = cell.textContent.replace(/[\u2191\u2193]/g, "").replace(/\s+/g, " ").trim();
      return cell.colSpan === 2 ? [text, `${text} (spread)`] : [text];
    })
    .join("\t");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // a page opened as a file may have no clipboard
  }
}

function copyBySelection(text) {
  const field = element("textarea", { class: "offscreen" }, text);
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return done;
}
