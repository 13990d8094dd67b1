// The dialogues that lie packed in the page: unpacked when asked for, a chunk at a time.
"use strict";

const CHUNKS_KEPT = 12;

async function unpack(base64) {
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(base64) : decodeBase64(base64);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

function decodeBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

class Archive {
  #blocks = document.querySelectorAll("script.chunk");
  #chunks = new Map(); // number -> promise of lines; the oldest asked for goes first
  #byName = new Map();
  #byTask = new Map();
  #texts = null;

  static async open() {
    const [columns, vocabulary] = await Promise.all(
      ["columns", "vocabulary"].map(async (id) =>
        JSON.parse(await unpack(document.getElementById(id).textContent)),
      ),
    );
    return new Archive(columns, vocabulary);
  }

  constructor(columns, vocabulary) {
    this.columns = columns;
    this.vocabulary = vocabulary;
    this.size = columns.phase?.length ?? 0;
    for (let i = 0; i < this.size; i++) {
      this.#byName.set(this.name(i), i);
      const task = this.#task(i);
      if (this.#byTask.has(task)) this.#byTask.get(task).push(i);
      else this.#byTask.set(task, [i]);
    }
  }

  // As `duologue replay` takes it; a dialogue that a later life ran again says which life it is of.
  name(i) {
    const { phase, group, sample, life, superseded } = this.columns;
    return `${phase[i]}:${group[i]}/${sample[i]}${superseded[i] ? `@${life[i]}` : ""}`;
  }

  find(name) {
    return this.#byName.get(name);
  }

  // All samples of the dialogue's group, itself included.
  group(i) {
    const { phase, group } = this.columns;
    const same = (k) => phase[k] === phase[i] && group[k] === group[i];
    let first = i;
    while (first > 0 && same(first - 1)) first--;
    const found = [];
    for (let k = first; k < this.size && same(k); k++) found.push(k);
    return found;
  }

  // The same task met in other groups: before and after training, say.
  elsewhere(i) {
    const group = new Set(this.group(i));
    return this.#byTask.get(this.#task(i)).filter((k) => !group.has(k));
  }

  // The record of one dialogue, and its task's data as text.
  async read(i) {
    const { chunk, line, place } = this.columns;
    const lines = await this.#lines(chunk[i]);
    const group = JSON.parse(lines[line[i]]);
    return { data: group.data ?? "", ...group.samples[place[i]] };
  }

  // Every dialogue's text in lower case, to be searched; read once, `progress` meanwhile.
  texts(progress) {
    this.#texts ??= this.#readTexts(progress);
    return this.#texts;
  }

  async #readTexts(progress) {
    const { chunk, line, place, task } = this.columns;
    const texts = new Array(this.size);
    let at = -1, lines, row = -1, group;
    for (let i = 0; i < this.size; i++) {
      if (chunk[i] !== at) {
        progress(chunk[i] / this.#blocks.length);
        at = chunk[i];
        row = -1;
        lines = (await unpack(this.#blocks[at].textContent)).split("\n");
      }
      if (line[i] !== row) {
        row = line[i];
        group = JSON.parse(lines[row]);
      }
      texts[i] = textOf(task[i], group.samples[place[i]]).toLowerCase();
    }
    return texts;
  }

  #task(i) {
    const { env, split, task } = this.columns;
    return JSON.stringify([env[i], split[i], task[i]]);
  }

  #lines(number) {
    const known = this.#chunks.get(number);
    if (known) return known;
    const lines = unpack(this.#blocks[number].textContent).then((text) => text.split("\n"));
    this.#chunks.set(number, lines);
    if (this.#chunks.size > CHUNKS_KEPT) this.#chunks.delete(this.#chunks.keys().next().value);
    return lines;
  }
}

// What a search looks through: everything that was said, and what went wrong.
function textOf(task, dialogue) {
  const said = [task, dialogue.detail ?? ""];
  for (const [, content] of dialogue.opening ?? []) said.push(content);
  for (const turn of dialogue.turns ?? []) {
    said.push(turn.text, ...(turn.actions ?? []).map((action) => action.content));
    said.push(turn.feedback ?? "");
  }
  return said.join("\n");
}
