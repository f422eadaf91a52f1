"use strict";
(() => {
  // Tooltips: the <title> of whatever is pointed at, shown at once (the browser's own are slow, and absent on touch).
  const tip = document.getElementById("tip");
  const titles = new WeakMap();
  document.addEventListener("pointerover", (event) => {
    const owner = event.target.closest ? event.target.closest("svg *:has(> title), svg:has(> title)") || event.target : null;
    if (!owner) return;
    let title = titles.get(owner);
    const node = owner.querySelector ? owner.querySelector(":scope > title") : null;
    if (node) { title = node.textContent; titles.set(owner, title); owner.setAttribute("aria-label", title); node.remove(); }
    if (!title) { tip.hidden = true; return; }
    tip.textContent = title;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(4, event.clientY - box.height - 12) + "px";
  });
  document.addEventListener("scroll", () => { tip.hidden = true; }, true);

  // Tables sort by a click on a column's name, and filter as one types.
  for (const table of document.querySelectorAll(".table:not(.fixed) table")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => { const cell = row.cells[column]; return cell.dataset.sort ?? cell.textContent.trim(); };
        const rows = [...body.rows].sort((a, b) => {
          const x = key(a), y = key(b), p = parseFloat(x), q = parseFloat(y);
          if (!Number.isNaN(p) && !Number.isNaN(q)) return p - q;
          if (Number.isNaN(p) !== Number.isNaN(q) && numeric) return Number.isNaN(p) ? -1 : 1;
          return x.localeCompare(y);
        });
        if (down) rows.reverse();
        body.append(...rows);
      });
    });
  }
  // What is wider than the page scrolls, and says so: a fading edge, and a line where there is more to the right.
  for (const box of document.querySelectorAll(".scroll")) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = "More to the right →";
    hint.setAttribute("aria-hidden", "true");
    box.before(hint);
    const look = () => {
      const wide = box.scrollWidth > box.clientWidth + 1;
      const left = wide && box.scrollLeft > 2;
      const right = wide && box.scrollLeft + box.clientWidth < box.scrollWidth - 2;
      box.classList.toggle("fade-left", left);
      box.classList.toggle("fade-right", right);
      hint.hidden = !wide;
      hint.classList.toggle("end", !right);
    };
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
    look();
  }

  for (const field of document.querySelectorAll("input.search")) {
    const rows = field.closest(".table").querySelectorAll("tbody tr");
    field.hidden = false;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
  }
})();
