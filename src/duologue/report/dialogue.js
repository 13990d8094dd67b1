// One dialogue laid out to be read: what was said, what it earned, and which weights said it.
"use strict";

const FOLD_FROM = 1500;
const PEEK = 400;
const OTHERS = 40;

// Probabilities at which a token's colour changes, from expected to surprising.
const SURPRISES = [0.9, 0.5, 0.1, 0.01];

// Headline, facts and the bars by turn; `about` is {archive, i, dialogue}.
function dialogueHead({ archive, i, dialogue }, link) {
  const { columns } = archive;
  const name = archive.name(i);
  const [end, manner, meaning] = WORDS.ends[columns.end[i]];
  const [fate, reason] = WORDS.fates[columns.fate[i]] ?? ["", ""];
  const facts = [
    ["task", h("bdi", {}, columns.task[i])],
    ["environment", `${columns.env[i]} / ${columns.split[i]}`],
    ["turns", whole(columns.turns[i])],
    ["tokens", tokensFact(columns.tokens[i], dialogue.length)],
    ["weights", columns.oldest[i] === null ? "" : between(columns.oldest[i], columns.newest[i])],
    ["staleness when drawn", columns.staleness[i] === null ? "" : String(columns.staleness[i])],
    ["advantage", columns.advantage[i] ? between(...columns.advantage[i], signed) : ""],
    ["seconds", columns.seconds[i] === null ? "" : figure(columns.seconds[i])],
    ["life of the run", columns.superseded[i] ? `${columns.life[i]}, run again later` : ""],
  ].filter(([, value]) => value !== "");
  const retried = (dialogue.discarded ?? []).map((word) => WORDS.ends[word][0]).join(", ");
  return h(
    "header",
    {},
    h(
      "h3",
      {},
      h("a", { href: link(i) }, name),
      h("b", { class: "score", title: "reward, summed over the turns" },
        h("span", { class: "unit" }, "reward "), figure(columns.reward[i])),
    ),
    h("p", {}, h("span", { class: `chip ${manner}` }, end), ` ${meaning}`),
    fate && h("p", {}, h("span", { class: `chip fate` }, fate), ` ${reason}`),
    dialogue.detail ? h("p", { class: "detail", dir: "auto" }, dialogue.detail) : null,
    retried && h("p", { class: "detail" }, `Retried after: ${retried}`),
    h("dl", { class: "facts" }, ...facts.map(([label, value]) =>
      h("div", {}, h("dt", {}, label), h("dd", {}, value)))),
  );
}

function tokensFact(sampled, length) {
  return sampled === null ? "" : `${whole(sampled)} sampled of ${whole(length ?? 0)}`;
}

// `duologue replay RUN DIALOGUE`, to be copied.
function replayLine(name) {
  if (!WORDS.replay) return null;
  const command = `${WORDS.replay} ${name}`;
  const code = h("code", {}, command);
  const button = h("button", { type: "button", class: "plain" }, "Copy");
  button.addEventListener("click", async () => {
    // Where the clipboard is refused, the command is selected and Ctrl-C does it.
    getSelection().selectAllChildren(code);
    button.textContent = await navigator.clipboard.writeText(command).then(() => "Copied", () => "Selected");
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return h("p", { class: "replay" }, h("span", { class: "note" }, "Run it again"), code, button);
}

// A bar a turn, up for a gain and down for a loss, over the weights that spoke in it.
function rewardBars(dialogue, jump) {
  const turns = dialogue.turns ?? [];
  if (turns.length === 0) return null;
  const rewards = turns.map((turn) => turn.reward ?? 0);
  const top = Math.max(0, ...rewards), bottom = Math.min(0, ...rewards);
  const range = top - bottom || 1;
  const bars = turns.map((turn, n) => {
    const spans = turn.versions ?? [];
    const said = `turn ${n + 1}: ${signed(turn.reward)}${weightsOf(turn) && `, ${weightsOf(turn)}`}`;
    const bar = h("span", { class: `bar ${tone(turn.reward)}` });
    bar.style.height = `${(100 * Math.abs(turn.reward ?? 0)) / range}%`;
    bar.style.top = `${(100 * (top - Math.max(0, turn.reward ?? 0))) / range}%`;
    const button = h(
      "button",
      { type: "button", class: "column", "aria-label": said, title: said },
      h("span", { class: "well" }, bar),
      h("span", { class: "worth" }, signed(turn.reward)),
      spans.length ? h("span", { class: "ribbon" }, ...spans.map(([version, count]) => {
        const piece = h("i", { class: `tone-${version % 8}` }, String(version));
        piece.style.flexGrow = count;
        return piece;
      })) : null,
      h("span", { class: "nth" }, String(n + 1)),
    );
    button.addEventListener("click", () => jump(n));
    return button;
  });
  const zero = h("div", { class: "bars", role: "group", "aria-label": "Reward and weights by turn" }, ...bars);
  zero.style.setProperty("--zero", `${(100 * top) / range}%`);
  const weighed = turns.some((turn) => turn.versions);
  const note = weighed ? "Reward of each turn; below it, the policy versions that sampled it." : "Reward of each turn.";
  return h("figure", { class: "byturn" }, zero, h("figcaption", { class: "note" }, note));
}

// In words, which weights sampled how many of a turn's tokens.
function weightsOf(turn) {
  const spans = turn.versions ?? [];
  if (spans.length === 1) return `weights ${spans[0][0]}`;
  return spans.map(([version, count]) => `${plural(count, "token")} by weights ${version}`).join(", then ");
}

// The group's samples, and the same task elsewhere, to be opened or put beside this one.
function companions({ archive, i }, beside, link, compare) {
  const group = archive.group(i);
  const elsewhere = archive.elsewhere(i);
  const shown = elsewhere.slice(0, OTHERS);
  if (group.length + shown.length < 2) return null;
  const rewards = group.map((k) => archive.columns.reward[k]).filter((reward) => reward !== null);
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const note = [
    group.length > 1 && rewards.length
      ? `${plural(group.length, "sample")}, mean reward ${figure(mean)}, ${figure(Math.min(...rewards))} to ${figure(Math.max(...rewards))}`
      : "",
    elsewhere.length ? `${whole(elsewhere.length)} of the same task elsewhere` : "",
  ].filter(Boolean).join("; ");
  const left = elsewhere.length - shown.length;
  const body = (title, members) => members.length === 0 ? [] : [
    h("tr", { class: "part" }, h("th", { colspan: 7, scope: "colgroup" }, title)),
    ...members.map((k) => companion(archive, k, i, beside, link, compare)),
  ];
  const heads = ["Dialogue", "Reward", "By turn", "Advantage", "Turns", "End", ""];
  return h(
    "details",
    { class: "companions", open: group.length > 1 || shown.length < 20 },
    h("summary", {}, h("b", {}, "Group and company "), h("span", { class: "note" }, note)),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Samples of the same task" },
      h("table", {},
        h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text || h("span", { class: "unseen" }, "Compare"))))),
        h("tbody", {}, ...body("This group", group), ...body("The same task elsewhere", shown)))),
    left > 0 ? h("p", { class: "note" }, `${plural(left, "more dialogue")} of this task: search for its name.`) : null,
  );
}

function companion(archive, k, i, beside, link, compare) {
  const { columns } = archive;
  const [end, manner] = WORDS.ends[columns.end[k]];
  const button = h("button", { type: "button", class: "plain", "aria-pressed": String(k === beside) },
    k === beside ? "Put away" : "Side by side");
  button.addEventListener("click", () => compare(k === beside ? null : k));
  return h(
    "tr",
    { "aria-current": k === i && "true" },
    h("th", { scope: "row" }, k === i ? `${archive.name(k)} (this one)` : h("a", { href: link(k) }, archive.name(k))),
    h("td", { class: "number" }, figure(columns.reward[k])),
    h("td", { class: "drawn" }, spark(columns.rewards[k])),
    h("td", { class: "number" }, columns.advantage[k] ? between(...columns.advantage[k], signed) : "–"),
    h("td", { class: "number" }, whole(columns.turns[k])),
    h("td", {}, h("span", { class: `chip ${manner}` }, end)),
    h("td", {}, k === i ? null : button),
  );
}

// The conversation, in tokens or in words; `mark` makes text nodes out of what was said.
function conversation({ archive, dialogue }, withTokens, mark) {
  const turns = dialogue.turns ?? [];
  return h(
    "div",
    { class: "talk" },
    ...(dialogue.opening ?? []).map(([role, content]) => openingLine(role, content, mark)),
    turns.length === 0 ? h("p", { class: "note" }, "No turn was taken.") : h(
      "ol",
      {},
      ...turns.map((turn, n) => turnLine(archive, turn, n, withTokens, mark)),
    ),
  );
}

function openingLine(role, content, mark) {
  if (role === "user" || role === "assistant") {
    return bubble(role === "user" ? "user" : "agent", [], long(content, mark));
  }
  return fold(`${role} message, ${plural(content.length, "character")}`, () => [said(content, mark)]);
}

function turnLine(archive, turn, n, withTokens, mark) {
  const parts = Object.entries(turn.parts ?? {}).map(([part, value]) => `${part} ${signed(value)}`);
  const tokens = turn.tokens ?? [];
  const notes = [`turn ${n + 1}`, tokens.length ? plural(tokens.length, "token") : "", weightsOf(turn)];
  const spoken = withTokens && tokens.length ? [tokenText(archive.vocabulary, turn)] : spokenText(turn, mark);
  return h(
    "li",
    { "data-turn": n + 1, tabindex: -1 },
    bubble("agent", notes.filter(Boolean), ...spoken),
    h(
      "p",
      { class: "earned" },
      h("span", { class: `reward ${tone(turn.reward)}` }, h("span", { class: "unseen" }, "reward "), signed(turn.reward)),
      parts.length ? h("span", { class: "note parts" }, parts.join(", ")) : null,
      turn.advantage === undefined || turn.advantage === null
        ? null
        : h("span", { class: "note" }, `advantage ${signed(turn.advantage)}`),
    ),
    turn.feedback ? bubble("user", [], long(turn.feedback, mark)) : null,
  );
}

function spokenText(turn, mark) {
  const actions = turn.actions ?? [];
  const prose = turn.prose ?? turn.text;
  return [
    turn.thought ? fold("thinking", () => [said(turn.thought, mark)]) : null,
    prose.trim() ? long(prose, mark) : null,
    ...actions.map(({ choice, content, pretty }) => h(
      "div",
      { class: "action" },
      h("span", { class: "choice", dir: "auto" }, choice),
      pretty ? said(pretty, mark, "code") : long(content, mark),
    )),
    actions.length ? null : h("p", { class: "chip cut" }, "no valid action"),
    turn.prose === undefined ? null : fold("as written", () => [said(turn.text, mark, "code")]),
  ].filter((each) => each !== null);
}

// Each token on a ground that is the darker the less the sampler expected it.
function tokenText(vocabulary, turn) {
  const logps = turn.logps ?? [];
  const tokens = turn.tokens.map((index, k) => {
    const logp = -(logps[k] ?? 0) / 100;
    const chance = Math.exp(logp);
    const level = SURPRISES.filter((bound) => chance < bound).length;
    const title = `${signed(logp)} (${chance < 0.001 ? "under 0.1" : (100 * chance).toPrecision(3)} %)`;
    return h("span", { class: `token level-${level}`, title }, vocabulary[index]);
  });
  const mean = logps.reduce((sum, value) => sum - value / 100, 0) / Math.max(1, logps.length);
  return h("div", {},
    h("div", { class: "text code tokens", dir: "auto" }, ...tokens),
    h("p", { class: "note" }, `mean log-probability ${figure(mean)}, lowest ${figure(Math.min(0, ...logps.map((value) => -value / 100)))}`));
}

function tokenLegend() {
  const names = ["90 % or more", "50 %", "10 %", "1 %", "less"];
  return h("p", { class: "note legend-tokens" }, "The sampler gave the token at least ",
    ...names.map((name, level) => h("span", { class: `token level-${level}` }, ` ${name} `)));
}

function bubble(side, notes, ...content) {
  return h(
    "div",
    { class: `bubble ${side}` },
    h("p", { class: "speaker" }, h("b", {}, side), ...notes.map((note) => h("span", {}, note))),
    ...content,
  );
}

function said(text, mark, more = "") {
  return h("div", { class: `text ${more}`, dir: "auto" }, ...mark(text));
}

// Folded after a glimpse where the text would push the dialogue off the screen.
function long(text, mark) {
  if (text.length < FOLD_FROM) return said(text, mark);
  const all = fold(`all ${plural(text.length, "character")}`, () => [said(text, mark)]);
  all.className = "long";
  const peek = said(`${text.slice(0, PEEK)}…`, mark, "peek");
  all.addEventListener("toggle", () => (peek.hidden = all.open));
  return h("div", {}, peek, all);
}

// Filled when it is first opened: what nobody looks at costs nothing.
function fold(title, fill) {
  const details = h("details", { class: "raw" }, h("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...fill());
  });
  return details;
}

// Text nodes, with what the search found marked.
function marker(query) {
  if (!query) return (text) => [text];
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  return (text) => {
    const nodes = [];
    let at = 0;
    for (const match of text.matchAll(pattern)) {
      nodes.push(text.slice(at, match.index), h("mark", {}, match[0]));
      at = match.index + match[0].length;
    }
    return [...nodes, text.slice(at)].filter((node) => node !== "");
  };
}
