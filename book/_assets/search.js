// Search: sections of the book as one types, in the dialog (Ctrl+K) and on the search page. The library and
// the index (_ext/search.py) are scripts, which a page opened from disk may load; they come at first use.
{
  const WORD = /[\p{L}\p{M}\p{N}]+|[⊙≤≥≠≈∼∈∑∫∇√∞]/gu;
  const STOP = new Set(
    ("a an and are as at be by can do does for from how i if in is it me my of on or should so than that " +
      "the then this to was what when where which who why will with you").split(" "),
  );
  const BOOST = { title: 5, page: 2, text: 1, code: 0.3 };
  const ROOT = document.documentElement.dataset.content_root || "./";
  let engine = null;
  let sections, spellings, groups, loading;

  const known = new Map();
  const fold = (word) => {
    const spelt = (one) => spellings.reduce((folded, [from, to]) => folded.replace(from, to), one);
    if (!known.has(word)) known.set(word, spelt(word.normalize("NFC").toLowerCase()));
    return known.get(word);
  };
  const split = (text) => text.match(WORD) || [];
  const asked = (text) => {
    const all = split(text);
    const kept = all.filter((word) => !STOP.has(word.toLowerCase()));
    return (kept.length ? kept : all).map(fold);
  };

  const build = ({ pages, synonyms, spellings: table }) => {
    spellings = table.map(([from, to]) => [new RegExp(from, "gu"), to]);
    groups = synonyms.map((group) => group.map(asked));
    sections = Object.entries(pages).flatMap(([name, page]) =>
      page.sections.map(([anchor, title, text, code]) => {
        const top = title === page.title.replace(/^\d+ /, "");
        return { name, page: page.title, weight: page.weight, anchor, title: top ? "" : title, text, code };
      }),
    );
    engine = new MiniSearch({ fields: Object.keys(BOOST), tokenize: split, processTerm: fold });
    engine.addAll(sections.map((section, id) => ({ id, ...section })));
  };

  const script = (name) =>
    new Promise((done, failed) => {
      const tag = document.createElement("script");
      Object.assign(tag, { src: `${ROOT}_static/search/${name}`, onload: done, onerror: failed });
      document.head.append(tag);
    });
  const load = () =>
    (loading ??= Promise.all([script("minisearch.js"), script("index.js")]).then(() => build(searchIndex)));

  // a word is looked for as it is; words of a row of synonyms as each of the row, the others counting less
  const question = (text) => {
    const words = asked(text);
    const parts = [];
    for (let at = 0; at < words.length; ) {
      const starts = (phrase) => phrase.length && phrase.every((word, i) => word === words[at + i]);
      const fitting = groups.flatMap((group) => group.filter(starts).map((phrase) => ({ group, phrase })));
      const { group, phrase } = fitting.sort((a, b) => b.phrase.length - a.phrase.length)[0] ?? {};
      const others = (group ?? []).filter((other) => other !== phrase);
      const own = phrase ?? [words[at]];
      const less = { combineWith: "AND", prefix: false, fuzzy: false, boostTerm: () => 0.5 };
      const also = others.map((queries) => ({ ...less, queries }));
      parts.push({ combineWith: "OR", queries: [{ combineWith: "AND", queries: own }, ...also] });
      at += own.length;
    }
    return parts;
  };

  const find = (text) => {
    const queries = question(text);
    const ask = (combineWith, fuzzy) =>
      engine.search({ combineWith, queries }, {
        boost: BOOST,
        prefix: (term) => term.length > 1,
        fuzzy: (term) => (fuzzy && term.length > 3 ? 0.2 : false),
        boostDocument: (id) => sections[id].weight,
      });
    for (const way of [["AND", false], ["AND", true], ["OR", true]]) {
      const hits = queries.length ? ask(...way) : [];
      if (hits.length) return hits.map(({ id, terms }) => ({ ...sections[id], terms: new Set(terms) }));
    }
    return [];
  };

  const hitsOf = (text, terms) => [...text.matchAll(WORD)].filter(([word]) => terms.has(fold(word)));

  const marked = (text, terms) => {
    const nodes = [];
    let end = 0;
    for (const { 0: word, index } of hitsOf(text, terms)) {
      const mark = document.createElement("mark");
      mark.textContent = word;
      nodes.push(text.slice(end, index), mark);
      end = index + word.length;
    }
    return [...nodes, text.slice(end)];
  };

  // the stretch of some 160 characters that holds most of the words: of code only if they are nowhere else
  const excerpt = ({ title, text, code, terms }, length = 160) => {
    const source = hitsOf(`${title} ${text}`, terms).length || !hitsOf(code, terms).length ? text : code;
    const hits = hitsOf(source, terms);
    const worth = ({ index }) => {
      const near = hits.filter((hit) => hit.index >= index && hit.index < index + length - 40);
      return new Set(near.map(([word]) => fold(word))).size;
    };
    const best = hits.reduce((a, b) => (worth(b) > worth(a) ? b : a), hits[0]);
    let start = Math.max(0, (best?.index ?? 0) - 40);
    if (start) start = source.indexOf(" ", start) + 1;
    let end = start + length;
    if (end < source.length) end = Math.max(source.lastIndexOf(" ", end), start + length / 2);
    return `${start ? "… " : ""}${source.slice(start, end)}${end < source.length ? " …" : ""}`;
  };

  const item = (hit) => {
    const link = document.createElement("a");
    const place = document.createElement("b");
    const words = document.createElement("span");
    link.href = `${ROOT}${hit.name}.html#${hit.anchor}`;
    place.append(hit.page, ...(hit.title ? [" › ", ...marked(hit.title, hit.terms)] : []));
    words.append(...marked(excerpt(hit), hit.terms));
    link.append(place, " ", words);
    const entry = document.createElement("li");
    entry.append(link);
    return entry;
  };

  const attach = (form) => {
    const box = form.parentElement;
    const dialog = box.closest(".search-button__wrapper");
    const input = form.querySelector("input");
    const told = document.createElement("p");
    const list = document.createElement("ol");
    let opener = null;
    told.setAttribute("role", "status");
    list.className = "found";
    form.after(told, list);
    if (dialog) Object.assign(box, { role: "dialog", ariaModal: "true", ariaLabel: "Search" });

    const show = async () => {
      const text = input.value.trim();
      try {
        if (!engine) told.textContent = "Loading…";
        await load();
      } catch {
        told.textContent = "The index cannot be loaded.";
        return;
      }
      if (text !== input.value.trim()) return;
      const hits = text ? find(text) : [];
      const shown = hits.slice(0, dialog ? 10 : 50);
      list.replaceChildren(...shown.map(item));
      list.dataset.asked = text;
      const count = hits.length === 1 ? "1 section" : `${hits.length} sections`;
      const rest = dialog && hits[shown.length] ? `, the best ${shown.length} here. Enter shows more` : "";
      told.textContent = text ? `${count}${rest}.` : "";
    };
    const leave = () => {
      if (dialog?.classList.contains("show")) dialog.querySelector(".search-button__overlay").click();
      (dialog ? opener : input)?.focus();
    };

    input.addEventListener("input", show);
    input.addEventListener("focus", ({ relatedTarget }) => {
      if (!box.contains(relatedTarget)) opener = relatedTarget;
      show();
    });
    box.addEventListener("keydown", (event) => {
      const stops = [input, ...list.querySelectorAll("a")];
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const next = step && stops[stops.indexOf(document.activeElement) + step];
      if (next) event.preventDefault(), next.focus();
      if (event.key === "Escape") leave();
    });
    if (dialog) {
      list.addEventListener("click", leave);
      box.addEventListener("focusout", ({ relatedTarget }) => {
        if (relatedTarget && !box.contains(relatedTarget)) leave();
      });
    } else {
      input.value ||= new URLSearchParams(location.search).get("q") ?? "";
      show();
      input.focus();
    }
  };

  addEventListener("DOMContentLoaded", () => document.querySelectorAll("form.bd-search").forEach(attach));
}
