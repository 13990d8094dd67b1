// Which dialogues are shown, in which order, and the page of them that is on screen.
"use strict";

const PAGE_ROWS = 50;
const BINS = 32;
const CHOICES = ["phase", "env", "end", "fate"];
const RANGES = ["reward", "turns", "version", "staleness"];

// The filter's fields: {q, phase, env, end, fate, "reward-min", ..., sort, down}.
function chosen(columns, wanted) {
  const tests = [];
  for (const key of CHOICES) {
    if (wanted[key]) tests.push((i) => columns[key][i] === wanted[key]);
  }
  for (const key of RANGES) {
    // A dialogue that two weights took part in is found by either, and by those between.
    const [lows, highs] = key === "version" ? ["oldest", "newest"] : [key, key];
    const [least, most] = [limit(wanted[`${key}-min`]), limit(wanted[`${key}-max`])];
    if (least !== null) tests.push((i) => columns[highs][i] !== null && columns[highs][i] >= least);
    if (most !== null) tests.push((i) => columns[lows][i] !== null && columns[lows][i] <= most);
  }
  const found = [];
  for (let i = 0; i < columns.phase.length; i++) {
    if (tests.every((test) => test(i))) found.push(i);
  }
  return found;
}

function limit(text) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? value : null;
}

// In place; what has no value comes last either way, and equals keep the order of the run.
function sorted(columns, found, key, down) {
  if (!key || key === "order") return down ? found.reverse() : found;
  const values = key === "advantage" ? columns.advantage.map((pair) => pair && pair[1]) : columns[key];
  const sign = down ? -1 : 1;
  return found.sort((a, b) => {
    const [left, right] = [values[a], values[b]];
    if (left === right) return a - b;
    if (left === null) return 1;
    if (right === null) return -1;
    return sign * (left < right ? -1 : 1);
  });
}

// One row of the list.
function listRow(archive, i, link) {
  const { columns } = archive;
  const [end, manner] = WORDS.ends[columns.end[i]];
  const fate = WORDS.fates[columns.fate[i]]?.[0] ?? "";
  return h(
    "tr",
    { class: columns.superseded[i] ? "superseded" : "", "data-name": archive.name(i) },
    h(
      "th",
      { scope: "row" },
      h("a", { href: link(i) }, archive.name(i)),
      h("small", {}, h("bdi", {}, columns.task[i])),
    ),
    h("td", {}, h("span", { class: `chip ${manner}` }, end), h("small", {}, fate)),
    h("td", { class: "drawn" }, spark(columns.rewards[i])),
    h("td", { class: "number" }, figure(columns.reward[i])),
    h("td", { class: "number" }, whole(columns.turns[i])),
    h(
      "td",
      { class: "number" },
      between(columns.oldest[i], columns.newest[i]),
      h("small", {}, columns.staleness[i] === null ? "" : `${columns.staleness[i]} behind`),
    ),
  );
}

// Rewards by turn as small bars around a line at 0.
function spark(rewards) {
  const largest = Math.max(1e-9, ...rewards.map((reward) => Math.abs(reward ?? 0)));
  const bars = rewards.slice(0, 24).map((reward) => {
    const bar = h("i", { class: tone(reward) });
    bar.style.setProperty("--size", (Math.abs(reward ?? 0) / largest).toFixed(3));
    return bar;
  });
  return h("span", { class: "spark", "aria-hidden": "true" }, ...bars);
}

// How the rewards of those found lie among all: light all, dark found. A press takes the range.
function histogram(columns, found, take) {
  const known = columns.reward.filter((reward) => reward !== null);
  if (known.length === 0) return [];
  let [low, high] = [Infinity, -Infinity];
  for (const reward of known) [low, high] = [Math.min(low, reward), Math.max(high, reward)];
  if (low === high) return [];
  const width = (high - low) / BINS;
  const bin = (reward) => Math.min(BINS - 1, Math.floor((reward - low) / width));
  const [all, some] = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
  for (const reward of known) all[bin(reward)]++;
  for (const i of found) if (columns.reward[i] !== null) some[bin(columns.reward[i])]++;
  const most = Math.max(...all);
  const bars = all.map((count, n) => {
    const [from, to] = [low + n * width, low + (n + 1) * width];
    const bar = h(
      "i",
      { title: `reward ${figure(from)} to ${figure(to)}: ${whole(some[n])} of ${whole(count)}` },
      h("b", {}),
    );
    // The root, so that a lone dialogue is seen beside a thousand.
    bar.style.setProperty("--all", Math.sqrt(count / most).toFixed(3));
    bar.style.setProperty("--some", Math.sqrt(some[n] / most).toFixed(3));
    bar.addEventListener("click", () => take(from, to));
    return bar;
  });
  return [h("div", { class: "bins" }, ...bars), h("span", {}, figure(low)), h("span", {}, figure(high))];
}
