// Drawing without markup: every text goes in through textContent, because kinds and error messages come from anywhere.
// Rows are kept by key and changed in place, so that focus, selection and an open menu survive the next second.

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function link(node, href, text) {
  let anchor = node.firstElementChild;
  if (!href) {
    say(node, text);
    return;
  }
  if (!anchor) {
    anchor = element("a", { class: "ops-link" });
    node.replaceChildren(anchor);
  }
  if (anchor.getAttribute("href") !== href) anchor.setAttribute("href", href);
  say(anchor, text);
}

export class Table {
  // columns: [{label, class, draw(cell, item)}]; the first names the row.
  constructor(table, { key, columns }) {
    this.key = key;
    this.columns = columns;
    this.table = table;
    this.empty = table.parentElement.querySelector("[data-empty]");
    this.body = table.createTBody();
    const head = table.createTHead().insertRow();
    for (const column of columns) {
      head.append(element("th", { scope: "col", class: column.class }, column.label));
    }
    this.rows = new Map();
  }

  draw(items) {
    this.table.toggleAttribute("data-bare", items.length === 0);
    if (this.empty) this.empty.hidden = items.length > 0;
    const left = new Set(this.rows.keys());
    items.forEach((item, index) => {
      const key = String(this.key(item));
      left.delete(key);
      const row = this.rows.get(key) ?? this.#make(key);
      this.columns.forEach((column, place) => column.draw(row.cells[place], item));
      if (this.body.rows[index] !== row) this.body.insertBefore(row, this.body.rows[index] ?? null);
    });
    for (const key of left) {
      this.rows.get(key).remove();
      this.rows.delete(key);
    }
  }

  #make(key) {
    const row = element("tr");
    this.columns.forEach((column, place) => {
      const attributes = { class: column.class, "data-label": column.label };
      row.append(place ? element("td", attributes) : element("th", { ...attributes, scope: "row" }));
    });
    this.rows.set(key, row);
    return row;
  }
}
