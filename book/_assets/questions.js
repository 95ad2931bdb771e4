// The questions of _ext/questions.py: buttons in place of a list or listing, and a live region that says the
// folded explanation of what was chosen. Nothing is stored: an answer lasts as long as its page.
const make = (tag, attributes, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
};
const press = (words, act, attributes = {}) => {
  const made = make("button", { type: "button", ...attributes }, ...words);
  made.addEventListener("click", act);
  return made;
};
const linesOf = (listing) =>
  listing.querySelector("pre").innerHTML.trimEnd().split("\n").map((line) => {
    const code = make("code", {});
    code.innerHTML = line;
    return [code];
  });

// Choose an item, or a line: each says why it is right or wrong.
const choosing = (items, why, { list, say, acts }) => {
  const buttons = items.map((words, k) =>
    press([make("span", {}, ...words)], () => {
      buttons.forEach((one) => one.setAttribute("aria-pressed", one === buttons[k]));
      const verdict = why[k].firstElementChild.textContent;
      buttons[k].dataset.verdict = ["Right.", "Faulty."].includes(verdict) ? "right" : "wrong";
      say(...why[k].cloneNode(true).childNodes);
      again.hidden = false;
    }, { "aria-pressed": false }),
  );
  const again = press(["Try again"], () => {
    buttons.forEach((one) => { one.setAttribute("aria-pressed", false), delete one.dataset.verdict; });
    buttons[0].focus();
    say();
    again.hidden = true;
  }, { hidden: "" });
  list.append(...buttons.map((one) => make("li", {}, one)));
  acts.append(again);
};

// Bring steps in order, by buttons or arrow keys: Check names the first one out of place.
const ordering = (items, why, { list, say, acts, fold }) => {
  const places = ["First.", "Second.", "Third.", "Fourth.", "Fifth.", "Sixth."];
  const nameOf = (step) => step.firstChild.textContent;
  const clear = () => steps.forEach((step) => delete step.dataset.verdict);
  const move = (step, up) => {
    const other = up ? step.previousElementSibling : step.nextElementSibling;
    if (other) up ? step.after(other) : step.before(other); // the step itself stays, and keeps the focus
    clear();
    const place = [...list.children].indexOf(step) + 1;
    say(`Now step ${place} of ${steps.length}: ${nameOf(step)}.`);
  };
  const steps = items.map((words) => {
    const text = make("span", {}, ...words);
    const arrow = (up) => {
      const name = `Move ${up ? "up" : "down"}: ${text.textContent}`;
      return press([up ? "↑" : "↓"], () => move(step, up), { "aria-label": name });
    };
    const step = make("li", {}, text, arrow(true), arrow(false));
    step.addEventListener("keydown", (event) => {
      if (!["ArrowUp", "ArrowDown"].includes(event.key)) return;
      event.preventDefault();
      move(step, event.key === "ArrowUp");
    });
    return step;
  });
  const check = () => {
    clear();
    const order = [...list.children].map((step) => steps.indexOf(step));
    const wrong = order.findIndex((k, place) => why[k].firstElementChild.textContent !== places[place]);
    fold.open = wrong < 0;
    if (wrong < 0) return say(make("strong", {}, "Right."), " Every step is in its place. See why below.");
    const k = order[wrong];
    steps[k].dataset.verdict = "wrong";
    const [verdict, ...reason] = why[k].cloneNode(true).childNodes;
    const named = `Step ${wrong + 1} is out of place: ${nameOf(steps[k])}.`;
    say(make("strong", {}, named), ` It comes ${verdict.textContent.toLowerCase()}`, ...reason);
  };
  const again = () => {
    clear();
    list.append(...steps);
    fold.open = false;
    say();
  };
  list.append(...steps);
  acts.append(press(["Check"], check), press(["Try again"], again));
};

for (const question of document.querySelectorAll(".question")) {
  const [prompt, body, fold] = question.children;
  const why = [...fold.querySelectorAll("ol > li > p")];
  const says = make("div", { class: "question-says", role: "status", "aria-live": "polite" });
  const acts = make("div", { class: "question-acts" });
  const { kind } = question.dataset;
  const listing = kind === "wrong-line";
  const list = make("ol", listing ? { class: "highlight" } : {});
  const parts = { list, acts, fold, say: (...words) => says.replaceChildren(...words) };
  const texts = [...body.querySelectorAll("li > p")].map((text) => [...text.childNodes]);
  const items = listing ? linesOf(body) : texts;
  (kind === "order" ? ordering : choosing)(items, why, parts);
  const legend = make("legend", {}, ...prompt.childNodes);
  const below = kind === "order" ? [acts, says] : [says, acts];
  question.replaceChildren(make("fieldset", {}, legend, list, ...below), fold);
}
