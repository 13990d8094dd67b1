// Read-outs under the pointer. The page is whole without this.
"use strict";

for (const chart of document.querySelectorAll(".chart")) {
  const plot = chart.querySelector(".plot");
  const { steps, places, rows } = JSON.parse(chart.querySelector("script").textContent);
  if (steps.length === 0) continue;

  const cursor = part("cursor");
  const readOut = part("read-out");
  readOut.setAttribute("role", "status");
  let at = steps.length - 1;
  hide();

  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", "Chart; arrow keys read it step by step");
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    show(nearest((event.clientX - box.left) / box.width));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => show(at));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const jump = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 };
    if (!(event.key in jump)) return;
    event.preventDefault();
    show(Math.max(0, Math.min(steps.length - 1, jump[event.key])));
  });

  function part(name) {
    const element = document.createElement("div");
    element.className = name;
    return plot.appendChild(element);
  }

  function hide() {
    cursor.hidden = readOut.hidden = true;
  }

  function nearest(place) {
    let best = 0;
    places.forEach((other, i) => {
      if (Math.abs(other - place) < Math.abs(places[best] - place)) best = i;
    });
    return best;
  }

  function show(index) {
    at = index;
    cursor.hidden = readOut.hidden = false;
    cursor.style.left = `${100 * places[at]}%`;
    readOut.replaceChildren(line("step", steps[at]));
    for (const { name, values } of rows) {
      if (values[at] !== null) readOut.append(line(name, values[at]));
    }
    // Beside the cursor, on the side with more room, and never past the plot's edge.
    const x = places[at] * plot.clientWidth;
    const left = places[at] < 0.5 ? x + 10 : x - 10 - readOut.offsetWidth;
    const last = plot.clientWidth - readOut.offsetWidth;
    readOut.style.left = `${Math.max(0, Math.min(last, left))}px`;
  }

  function line(name, value) {
    const row = document.createElement("div");
    const [label, figure] = [document.createElement("span"), document.createElement("b")];
    label.textContent = name;
    figure.textContent = value;
    row.append(label, figure);
    return row;
  }
}
