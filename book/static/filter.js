/* The scoreboard: choose claims by words, chapter, paper and verdict. What is chosen stands in the address, so that a
   choice can be linked to. Without scripts the tables are all there, folded by chapter. */
document.addEventListener("DOMContentLoaded", () => {
  const boards = [...document.querySelectorAll("details.ntk-board")];
  if (!boards.length) return;
  const rows = [];
  for (const board of boards) {
    const chapter = /chapter (\d+)/.exec(board.querySelector("summary").textContent)[1];
    for (const row of board.querySelectorAll("tbody tr")) {
      const cells = row.cells;
      const paper = cells[1].querySelector("a[href*='bibliography']")?.textContent.trim() || "ours";
      const verdict = cells[cells.length - 1].textContent.trim();
      rows.push({ row, board, chapter, paper, verdict, words: row.textContent.toLowerCase() });
    }
  }

  const form = document.createElement("form");
  form.className = "ntk-filter d-print-none";
  form.setAttribute("aria-label", "Choose claims");
  const words = document.createElement("input");
  const state = document.createElement("p");
  state.setAttribute("role", "status");
  const selects = {};

  function field(name, control) {
    const label = document.createElement("label");
    label.append(name, control);
    control.name = name.toLowerCase();
    form.append(label);
  }

  words.type = "search";
  field("Words", words);
  for (const name of ["chapter", "paper", "verdict"]) {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((r) => r[name]))];
    if (name === "paper") values.sort((a, b) => a.localeCompare(b));
    select.append(new Option("all", ""), ...values.map((v) => new Option(v, v)));
    selects[name] = select;
    field(name[0].toUpperCase() + name.slice(1), select);
  }

  function apply() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = Object.entries(selects).filter(([, select]) => select.value);
    const active = wanted.length + chosen.length > 0;
    let count = 0;
    const found = new Map(boards.map((board) => [board, 0]));
    for (const r of rows) {
      const fits = chosen.every(([name, select]) => r[name] === select.value) && wanted.every((w) => r.words.includes(w));
      r.row.hidden = !fits;
      if (fits) {
        count += 1;
        found.set(r.board, found.get(r.board) + 1);
      }
    }
    for (const board of boards) {
      board.open = active && found.get(board) > 0;
      board.closest("section").hidden = active && !found.get(board);
    }
    // What sums up all claims is in the way of a choice among them.
    for (const part of summaries) part.hidden = active;
    state.textContent = active ? `${count} of ${rows.length} claims` : "";
    const query = new URLSearchParams(chosen.map(([name, select]) => [name, select.value]));
    if (words.value) query.set("words", words.value);
    if (location.protocol !== "file:")
      history.replaceState(null, "", (query.size ? "?" + query : location.pathname) + location.hash);
  }

  const asked = new URLSearchParams(location.search);
  for (const name of Object.keys(selects)) selects[name].value = asked.get(name) ?? "";
  for (const select of Object.values(selects)) if (select.selectedIndex < 0) select.value = "";
  words.value = asked.get("words") ?? "";
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(state);
  const overview = document.querySelector(".ntk-overview");
  const sections = [...boards[0].closest("section").parentElement.children].filter((e) => e.matches("section"));
  const summaries = [overview, ...sections.filter((section) => !section.querySelector(".ntk-board"))];
  overview.before(form);
  if (location.search) apply();

  // A link to a chapter opens its claims.
  function opened() {
    const section = location.hash && document.getElementById(location.hash.slice(1));
    const board = section && (section.closest("section") || section).querySelector("details.ntk-board");
    if (board) board.open = true;
  }
  addEventListener("hashchange", opened);
  opened();
});
