"use strict";
(() => {
  const root = document.documentElement, tip = document.getElementById("tip");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Light or dark, until the page is left.
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  });

  // Filter: every word must be found; a service stays while an episode of it does.
  const input = document.getElementById("filter"), chips = all("[data-only]");
  let only = "";
  const matches = (element, words) => words.every((word) => (element.dataset.f || "").includes(word));
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), isAll = !words.length && !only;
    for (const row of all("tr[data-f]")) row.hidden = !matches(row, words) || (only && !row.dataset.f.split(" ").includes(only));
    for (const service of all(".service")) {
      let n = 0;
      for (const episode of all(".episode", service)) {
        const states = (episode.dataset.state || "").split(" ");
        episode.hidden = !matches(episode, words) || (only !== "" && !states.includes(only));
        n += episode.hidden ? 0 : 1;
      }
      const title = service.querySelector("h2").textContent.toLowerCase();
      service.hidden = !isAll && n === 0 && (only !== "" || !words.every((word) => title.includes(word)));
      document.querySelector(`#toc [data-v="${service.id}"]`).hidden = service.hidden;
    }
  }
  input.addEventListener("input", filter);
  for (const chip of chips) chip.addEventListener("click", () => {
    only = chip.dataset.only;
    for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
    filter();
  });

  // What a plot shows under the pointer is read from its own paths.
  const LEFT = 62, RIGHT = 8, shapes = new WeakMap();
  function shape(path) {
    if (!shapes.has(path)) shapes.set(path, path.getAttribute("d").split("M").slice(1).map((piece) => {
      const numbers = piece.match(/-?[\d.]+/g).map(Number), points = [];
      for (let i = 0; i + 1 < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
      if (piece.endsWith("Z")) points.push(points[0]);
      return points;
    }));
    return shapes.get(path);
  }
  function edges(path, x) {
    let low = Infinity, high = -Infinity;
    for (const points of path ? shape(path) : []) for (let i = 0; i < points.length; i++) {
      const [x0, y0] = points[i], [x1, y1] = points[Math.min(i + 1, points.length - 1)];
      if ((x0 - x) * (x1 - x) > 0) continue;
      const y = x0 === x1 ? [y0, y1] : [y0 + (y1 - y0) * (x - x0) / (x1 - x0)];
      low = Math.min(low, ...y); high = Math.max(high, ...y);
    }
    return low <= high ? [low, high] : null;
  }
  function amount(value, unit) {
    if (unit === "ms") return Math.abs(value) >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${+value.toPrecision(3)} ms`;
    if (["ratio", "share", "utilization", "1"].includes(unit)) return `${(value * 100).toFixed(1)} %`;
    return `${Math.abs(value) >= 1000 ? value.toFixed(0) : +value.toPrecision(3)} ${unit}`.trim();
  }
  const pair = (svg, name) => svg.dataset[name].split(" ").map(Number);
  const between = (low, high, unit) => amount(low, unit) === amount(high, unit) ? amount(low, unit) : `${amount(low, unit)} to ${amount(high, unit)}`;
  function told(svg, x) {
    const [t0, t1] = pair(svg, "t"), [v0, v1] = pair(svg, "v"), [bottom, top] = pair(svg, "y"), unit = svg.dataset.u;
    const box = svg.viewBox.baseVal, value = (y) => v0 + (bottom - y) / (bottom - top) * (v1 - v0);
    const at = new Date(t0 + (x - LEFT) / (box.width - RIGHT - LEFT) * (t1 - t0));
    const lines = [at.toISOString().slice(0, 19).replace("T", " ") + " UTC"];
    const seen = edges(svg.querySelector(".value"), x), band = edges(svg.querySelector(".band"), x);
    if (seen) lines.push(`observed ${between(value(seen[1]), value(seen[0]), unit)}`);
    if (band) lines.push(`expected ${between(value(band[1]), value(band[0]), unit)}`);
    const score = edges(svg.querySelector(".score"), x), middle = box.height - 16 - 13;
    if (score) {
      const y = Math.abs(score[0] - middle) > Math.abs(score[1] - middle) ? score[0] : score[1];
      lines.push(`score ${((middle - y) / 13 * Number(svg.dataset.s)).toFixed(1)}`);
    }
    return lines;
  }
  function hide() { tip.hidden = true; for (const cross of all(".cross")) cross.remove(); }
  for (const title of all("svg title")) { // the browser would show them a second time
    title.parentNode.told = title.textContent;
    title.parentNode.classList.add("told");
    title.remove();
  }
  for (const svg of all("svg.plot, svg.glance")) {
    svg.addEventListener("pointermove", (event) => {
      const box = svg.viewBox.baseVal, outer = svg.getBoundingClientRect();
      const x = (event.clientX - outer.left) / outer.width * box.width, isPlot = svg.classList.contains("plot");
      hide();
      const lines = isPlot && x >= LEFT && x <= box.width - RIGHT ? told(svg, x) : [];
      const y = (event.clientY - outer.top) / outer.height * box.height;
      for (const owner of all(".told", svg)) {
        const bounds = owner.getBBox();
        const isUnder = x >= bounds.x - 1 && x <= bounds.x + bounds.width + 1 && y >= bounds.y && y <= bounds.y + bounds.height;
        if (isUnder) lines.push(owner.told);
      }
      if (!lines.length) return;
      if (isPlot) {
        const cross = document.createElementNS(svg.namespaceURI, "line");
        for (const [key, number] of [["x1", x], ["x2", x], ["y1", 6], ["y2", box.height - 16]]) cross.setAttribute(key, number);
        cross.setAttribute("class", "cross");
        svg.append(cross);
      }
      tip.textContent = [...new Set(lines)].slice(0, 9).join("\n");
      tip.hidden = false;
      const width = tip.offsetWidth, height = tip.offsetHeight;
      tip.style.left = `${event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16}px`;
      tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 6))}px`;
    });
    svg.addEventListener("pointerleave", hide);
  }
})();
