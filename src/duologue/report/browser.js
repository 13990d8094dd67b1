// The dialogue browser: what is chosen, shown and open, all of it in the address after "#".
"use strict";

const WORDS = JSON.parse(document.getElementById("words")?.textContent ?? "null");

class Browser {
  #archive;
  #form = document.getElementById("filters");
  #find = document.getElementById("find");
  #direction = document.getElementById("direction");
  #list = document.querySelector(".found");
  #reading = document.getElementById("reading");
  #browser = document.getElementById("browser");
  #all = []; // found, in order
  #page = 0;
  #open = null;
  #beside = null;
  #withTokens = false;
  #filters = 0; // count requests, so that a late answer to an old one is dropped
  #shows = 0;

  constructor(archive) {
    this.#archive = archive;
  }

  async start() {
    this.#browser.hidden = false;
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("reset", () => {
      this.#setDown(false);
      setTimeout(() => this.#refilter()); // once the fields are empty
    });
    let waiting;
    this.#form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.#refilter(), 120);
    });
    this.#direction.addEventListener("click", () => {
      this.#setDown(this.#direction.getAttribute("aria-pressed") !== "true");
      this.#refilter();
    });
    document.getElementById("back").addEventListener("click", () => this.#turnTo(this.#page - 1));
    document.getElementById("forth").addEventListener("click", () => this.#turnTo(this.#page + 1));
    document.getElementById("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && !event.target.closest("a")) row.querySelector("a").click();
    });
    addEventListener("hashchange", () => this.#readAddress(true));
    document.addEventListener("keydown", (event) => this.#key(event));
    await this.#readAddress(false);
  }

  // ---- the address

  #state() {
    const state = {};
    for (const [name, value] of new FormData(this.#form)) if (value.trim()) state[name] = value.trim();
    const sort = document.getElementById("sort").value;
    if (sort !== "order") state.sort = sort;
    if (this.#direction.getAttribute("aria-pressed") === "true") state.down = "1";
    return state;
  }

  #address(i, beside = null) {
    const words = new URLSearchParams();
    if (i !== null) words.set("dialogue", this.#archive.name(i));
    if (beside !== null) words.set("beside", this.#archive.name(beside));
    for (const [name, value] of Object.entries(this.#state())) words.set(name, value);
    // Names read better with their own punctuation, which is allowed there.
    return `#${words.toString().replace(/%3A/g, ":").replace(/%2F/g, "/").replace(/%40/g, "@")}`;
  }

  #write() {
    const address = this.#address(this.#open, this.#beside);
    if (address !== location.hash) history.replaceState(null, "", address);
  }

  async #readAddress(later) {
    const words = new URLSearchParams(location.hash.slice(1));
    const named = words.get("dialogue");
    const ours = named !== null || [...words.values()].some((value) => value !== "");
    if (later && !ours) return; // a section of the page
    for (const field of this.#form.elements) if (field.name) field.value = words.get(field.name) ?? "";
    const sort = document.getElementById("sort");
    sort.value = words.get("sort") ?? "order";
    this.#setDown(words.get("down") === "1");
    const open = named === null ? undefined : this.#archive.find(named);
    await this.#filter();
    if (named !== null && open === undefined) {
      this.#open = this.#beside = null;
      this.#reading.replaceChildren(
        h("p", { class: "warnings", role: "alert" }, `There is no dialogue ${named} in this page; see above what was left out.`));
      this.#reading.scrollIntoView({ block: "start" });
      return;
    }
    const beside = this.#archive.find(words.get("beside"));
    if (open !== undefined) {
      await this.#show(open, beside ?? null);
      this.#follow();
      this.#arrive();
    } else if (this.#open === null && this.#all.length && !narrow()) {
      await this.#show(this.#all[0], null);
    }
  }

  // ---- the list

  async #refilter() {
    await this.#filter();
    this.#write();
  }

  async #filter() {
    const turn = ++this.#filters;
    const wanted = this.#state();
    const { columns } = this.#archive;
    let found = chosen(columns, wanted);
    if (wanted.q) {
      const query = wanted.q.toLowerCase();
      const texts = await this.#archive.texts((share) => this.#say(`reading the texts: ${Math.round(100 * share)} %`));
      if (turn !== this.#filters) return;
      found = found.filter((i) => texts[i].includes(query));
    }
    this.#all = sorted(columns, found, wanted.sort, wanted.down === "1");
    this.#page = this.#pageOf(this.#open);
    this.#draw();
    const take = (low, high) => {
      for (const [name, value] of [["reward-min", low], ["reward-max", high]]) {
        const field = this.#form.elements[name];
        if (field) field.value = String(value);
      }
      this.#refilter();
    };
    document.getElementById("histogram").replaceChildren(...histogram(columns, this.#all, take));
  }

  #draw() {
    const first = this.#page * PAGE_ROWS;
    const shown = this.#all.slice(first, first + PAGE_ROWS);
    const link = (i) => this.#address(i);
    document.getElementById("rows").replaceChildren(...shown.map((i) => listRow(this.#archive, i, link)));
    const total = this.#archive.size;
    const count = this.#all.length;
    this.#say(count === total ? plural(count, "dialogue") : `${whole(count)} of ${plural(total, "dialogue")}`);
    document.getElementById("page").textContent = count
      ? `${whole(first + 1)} to ${whole(first + shown.length)}`
      : "None. Clear a filter to see more.";
    document.getElementById("back").disabled = this.#page === 0;
    document.getElementById("forth").disabled = first + PAGE_ROWS >= count;
    this.#list.querySelector(".scroll").scrollTop = 0;
    this.#point();
  }

  #pageOf(i) {
    return Math.floor(Math.max(0, this.#all.indexOf(i)) / PAGE_ROWS);
  }

  // Turn the list to the page that the open dialogue is on.
  #follow() {
    const page = this.#pageOf(this.#open);
    if (page !== this.#page) this.#turnTo(page);
  }

  #turnTo(page) {
    this.#page = page;
    this.#draw();
  }

  // Show in the list which dialogue is open.
  #point() {
    const name = this.#open === null ? null : this.#archive.name(this.#open);
    for (const row of document.getElementById("rows").children) {
      const here = row.dataset.name === name;
      row.classList.toggle("open", here);
      if (here) row.querySelector("a").setAttribute("aria-current", "true");
      else row.querySelector("a").removeAttribute("aria-current");
      if (here) scrollWithin(this.#list.querySelector(".scroll"), row);
    }
  }

  #say(text) {
    document.getElementById("found").textContent = text;
  }

  #setDown(down) {
    this.#direction.setAttribute("aria-pressed", String(down));
    this.#direction.textContent = down ? "↓" : "↑";
  }

  // ---- the dialogue

  async #show(i, beside) {
    const turn = ++this.#shows;
    const shown = await Promise.all([i, beside].filter((k) => k !== null).map(async (k) => ({
      archive: this.#archive,
      i: k,
      dialogue: await this.#archive.read(k),
    })));
    if (turn !== this.#shows) return;
    [this.#open, this.#beside] = [i, beside];
    this.#lay(shown);
    this.#point();
  }

  #lay(shown) {
    const mark = marker(this.#state().q);
    const [about, other] = shown;
    const { dialogue } = about;
    const link = (i) => this.#address(i);
    const compare = async (k) => {
      await this.#show(about.i, k);
      this.#write();
    };
    const jump = (n) => this.#reading.querySelector(`[data-turn="${n + 1}"]`).scrollIntoView({ block: "center" });
    const hasTokens = shown.some((each) => each.dialogue.turns?.some((turn) => turn.tokens?.length));
    const tokens = h("button", { type: "button", class: "plain", id: "tokens", "aria-pressed": String(this.#withTokens), "aria-keyshortcuts": "t" }, "Tokens");
    tokens.addEventListener("click", () => {
      this.#withTokens = !this.#withTokens;
      this.#lay(shown);
      document.getElementById("tokens").focus({ preventScroll: true });
    });
    const back = h("button", { type: "button", class: "plain leave" }, "← Back to the list");
    back.addEventListener("click", () => this.#leave());
    this.#reading.replaceChildren(...[
      back,
      dialogueHead(about, link),
      this.#archive.columns.replayable[about.i] ? replayLine(this.#archive.name(about.i)) : null,
      rewardBars(dialogue, jump),
      companions(about, this.#beside, link, compare),
      dialogue.data ? fold("The task's data", () => [said(dialogue.data, mark, "code")]) : null,
      hasTokens ? h("div", { class: "tools" }, tokens, this.#withTokens ? tokenLegend() : null) : null,
      h("div", { class: `talks of-${shown.length}` }, ...shown.map((each) => h(
        "section",
        { "aria-label": this.#archive.name(each.i) },
        other ? h("h4", {}, `${this.#archive.name(each.i)}: ${figure(this.#archive.columns.reward[each.i])}`) : null,
        conversation(each, this.#withTokens, mark),
      ))),
    ].filter((each) => each !== null && each !== ""));
    this.#reading.setAttribute("aria-label", `Dialogue ${this.#archive.name(about.i)}`);
    this.#browser.classList.add("reading");
  }

  #arrive() {
    this.#reading.scrollIntoView({ block: "start", behavior: "instant" });
    this.#reading.focus({ preventScroll: true });
  }

  #leave() {
    this.#browser.classList.remove("reading");
    history.replaceState(null, "", this.#address(null));
    this.#browser.scrollIntoView({ block: "start", behavior: "instant" });
    document.querySelector("#rows tr.open a, #rows a")?.focus({ preventScroll: true });
  }

  // ---- the keyboard

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape") {
      event.preventDefault(); // a search field would empty itself
      if (typing) event.target.blur();
      else if (narrow() && this.#browser.classList.contains("reading")) this.#leave();
      return;
    }
    if (typing) return;
    const keys = { j: () => this.#step(1), k: () => this.#step(-1), "/": () => this.#find.select(), t: () => document.getElementById("tokens")?.click() };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  async #step(by) {
    const at = this.#all.indexOf(this.#open);
    const next = this.#all[at < 0 ? 0 : at + by];
    if (next === undefined) return;
    await this.#show(next, null);
    this.#follow();
    this.#write();
    this.#arrive();
  }
}

function narrow() {
  return matchMedia("(max-width: 62rem)").matches;
}

// Not `scrollIntoView`, which would scroll the page as well.
function scrollWithin(box, row) {
  const [outer, inner] = [box.getBoundingClientRect(), row.getBoundingClientRect()];
  if (inner.top < outer.top + 30) box.scrollTop -= outer.top + 30 - inner.top;
  if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom;
}

if (WORDS !== null) Archive.open().then((archive) => new Browser(archive).start());
