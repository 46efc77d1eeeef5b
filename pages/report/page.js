"use strict";
(() => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.ground ? root.dataset.ground === "dark" : prefersDark.matches);

  // Charts: data come by column, and are put together again as rows.
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const rows = (columns) => {
    const names = Object.keys(columns);
    const length = names.length ? columns[names[0]].length : 0;
    return Array.from({ length }, (_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
  };
  const config = () => {
    const style = getComputedStyle(root);
    const [text, quiet, line] = ["--text", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
    const font = getComputedStyle(document.body).fontFamily;
    const words = { labelColor: quiet, titleColor: quiet, labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return {
      background: "transparent", font, view: { stroke: null }, autosize: { type: "fit-x", contains: "padding" },
      axis: { ...words, gridColor: line, domainColor: line, tickColor: line, gridOpacity: 0.7, labelLimit: 160, titlePadding: 8, tickCount: 6, labelOverlap: true },
      legend: { ...words, labelColor: text, symbolStrokeWidth: 3, symbolSize: 90, rowPadding: 4, columnPadding: 14 },
      title: { color: text },
    };
  };
  const draw = async (figure) => {
    const { specs, data, renderer, description } = charts[figure.dataset.chart];
    const place = figure.querySelector(".drawing");
    const choice = figure.querySelector("select");
    const spec = structuredClone(specs[choice ? choice.value : Object.keys(specs)[0]]);
    spec.datasets = Object.fromEntries(Object.entries(data).map(([name, columns]) => [name, rows(columns)]));
    spec.description = description;
    narrow(spec, place.clientWidth);
    try {
      figure.view?.finalize();
      figure.view = (await vegaEmbed(place, spec, { actions: false, ast: true, renderer, config: config(), tooltip: { theme: isDark() ? "dark" : "light" } })).view;
      figure.dataset.drawn = "yes";
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
      figure.dataset.drawn = "no";
      console.error(error);
    }
  };
  // A legend is as wide as its place: Vega does not break its line by itself.
  const narrow = (spec, width) => {
    const legends = [];
    const walk = (value) => {
      if (value && typeof value === "object") {
        if (value.legend && value.scale?.domain) legends.push([value.legend, value.scale.domain]);
        Object.values(value).forEach(walk);
      }
    };
    walk({ ...spec, datasets: null });
    for (const [legend, domain] of legends) {
      if (!Array.isArray(domain) || legend.orient !== "top") continue;
      const widest = Math.max(...domain.map((label) => Math.min(String(label).length * 7.2, legend.labelLimit ?? 160))) + 44;
      legend.columns = Math.max(1, Math.min(domain.length, Math.floor((width - 40) / widest)));
    }
  };
  const figures = [...document.querySelectorAll("figure.chart")];
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    seen.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "600px" });
  figures.forEach((figure) => {
    seen.observe(figure);
    figure.querySelector("select")?.addEventListener("change", () => draw(figure));
  });
  const redraw = () => figures.filter((figure) => figure.dataset.drawn).forEach(draw);
  addEventListener("beforeprint", () => figures.filter((figure) => !figure.dataset.drawn).forEach(draw));
  let waiting, width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 200);
  });

  // Light or dark: that of the system until the reader says otherwise.
  const ground = document.getElementById("ground");
  const say = () => { ground.textContent = isDark() ? "Light ground" : "Dark ground"; };
  ground.hidden = false;
  ground.addEventListener("click", () => { root.dataset.ground = isDark() ? "light" : "dark"; say(); redraw(); });
  prefersDark.addEventListener("change", () => { say(); redraw(); });
  say();

  // Tables: a click on a title sorts by it, another one the other way; empty cells come last.
  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.textContent === "") return null;
    return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending" || (head.getAttribute("aria-sort") === null && head.classList.contains("number"));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [value(row, column), row]);
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (falling ? compare(b, a) : compare(a, b)));
      body.append(...keyed.map(([, row]) => row));
    }));
  }
  for (const input of document.querySelectorAll(".filter input")) {
    const place = input.closest(".table"), all = [...place.querySelectorAll("tbody tr")], count = place.querySelector(".count");
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let left = 0;
      for (const row of all) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        left += !row.hidden;
      }
      count.textContent = wanted ? `${left} of ${all.length} rows` : "";
    });
  }
})();
