"use strict";

// The table of a division: sort, search, choice of columns, links to rows.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof DataTable === "undefined") {
    document.documentElement.classList.remove("scripted");
    return;
  }
  const table = new DataTable("#board", {
    pageLength: 50,
    paging: document.querySelectorAll("#board tbody tr").length > 50,
    lengthChange: false,
    autoWidth: false,
    order: [],
    columnDefs: [{ targets: "numeric", orderSequence: ["desc", "asc", ""] }, { targets: "least", orderSequence: ["asc", "desc", ""] }],
    language: { emptyTable: "No row passes the gates.", info: "_START_ to _END_ of _TOTAL_ rows; control rows are always shown", infoFiltered: "(of _MAX_)" },
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
  });

  const tools = document.querySelector(".tools");
  tools.hidden = false;
  const search = document.getElementById("search");
  const columns = document.getElementById("columns");
  addEventListener("keydown", ({ key }) => { if (key === "Escape") columns.open = false; });
  addEventListener("click", ({ target }) => { if (!columns.contains(target)) columns.open = false; });
  search.addEventListener("input", () => table.search(search.value).draw());
  for (const box of document.querySelectorAll("#columns input")) {
    const column = table.column(Number(box.dataset.column));
    column.visible(box.checked);
    box.addEventListener("change", () => column.visible(box.checked));
  }

  // The view is in the address: #search=...&order=3-desc, or #row-... for one row.
  function remember() {
    const view = new URLSearchParams();
    if (search.value) view.set("search", search.value);
    const [chosen] = table.order();
    if (chosen && chosen[1]) view.set("order", chosen.slice(0, 2).join("-"));
    history.replaceState(null, "", view.size ? `#${view}` : location.pathname);
  }

  function restore() {
    const view = new URLSearchParams(location.hash.slice(1));
    search.value = view.get("search") || "";
    const [column, direction] = (view.get("order") || "").split("-");
    if (["asc", "desc"].includes(direction) && Number(column) < table.columns().count()) table.order([[Number(column), direction]]);
    table.search(search.value).draw();
    table.on("order", remember);
    table.on("search", remember);
  }

  function reach() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (!id.startsWith("row-")) return;
    const place = () => table.rows({ order: "applied", search: "applied" }).nodes().toArray().findIndex((row) => row.id === id);
    if (place() < 0 && search.value) {
      search.value = "";
      table.search("").draw();
    }
    const index = place(); // -1: it is not ranked, in the table below
    if (index >= 0) table.page(Math.floor(index / table.page.len())).draw("page");
    const row = document.getElementById(id);
    if (!row) return;
    document.querySelectorAll("tr.reached").forEach((other) => other.classList.remove("reached"));
    row.classList.add("reached");
    row.scrollIntoView({ block: "center" });
    row.querySelector("a").focus({ preventScroll: true });
  }
  restore();
  addEventListener("hashchange", reach);
  reach();
});
