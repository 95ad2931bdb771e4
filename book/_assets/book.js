// Paper is white and cannot be unfolded: print the light theme, with every folded cell open.
{
  let before = null;
  addEventListener("beforeprint", () => {
    if (before) return;
    const folded = [...document.querySelectorAll("details:not([open])")];
    before = { theme: document.documentElement.dataset.theme, folded };
    document.documentElement.dataset.theme = "light";
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    document.documentElement.dataset.theme = before.theme;
    for (const details of before.folded) details.open = false;
    before = null;
  });
}

// which.html: the first rule whose fields all agree with the answers tells what to do.
const ask = () => {
  const form = document.getElementById("which");
  if (form) {
    const rules = JSON.parse(document.getElementById("which-rules").textContent);
    const at = (name) => form.querySelector(`[data-which="${name}"]`);
    const answer = () => {
      const given = Object.fromEntries(new FormData(form));
      const agrees = (one) => Object.keys(given).every((key) => !(key in one) || one[key] === given[key]);
      const rule = rules.find(agrees);
      for (const name of ["title", "why", "call"]) at(name).textContent = rule[name];
      at("more").href = `#${rule.more}`;
      at("copied").textContent = "";
    };
    form.addEventListener("change", answer);
    form.addEventListener("submit", (event) => event.preventDefault());
    at("copy").addEventListener("click", async () => {
      const call = at("call").textContent;
      let done = true;
      try {
        await navigator.clipboard.writeText(call);
      } catch {
        getSelection().selectAllChildren(at("call"));
        done = document.execCommand("copy");
      }
      at("copied").textContent = done ? "Copied." : "Press Ctrl+C to copy.";
    });
    answer();
  }
};

// intro.md: the equation of pictures. λ of the image and the rest of its partner, as a blend or as a box.
const paintFront = () => {
  const front = document.getElementById("front");
  if (front) {
    const [own, other] = front.querySelectorAll("img");
    const paint = (name, draw) => {
      const canvas = front.querySelector(`canvas[data-front="${name}"]`);
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, canvas.width, canvas.height);
      draw(pen, canvas.width);
    };
    const ink = (name) => getComputedStyle(front).getPropertyValue(name).trim();
    const show = () => {
      const lam = Number(front.querySelector("[type=range]").value) / 100;
      const box = front.querySelector("[type=checkbox]").checked;
      const side = Math.sqrt(1 - lam);
      const inside = (pen, size) => {
        const start = (size - side * size) / 2;
        pen.rect(start, start, side * size, side * size);
      };
      const mask = (mine) => (pen, size) => {
        pen.fillStyle = ink(mine ? "--own" : "--partner");
        pen.globalAlpha = box ? (mine ? 1 : 0) : mine ? lam : 1 - lam;
        pen.fillRect(0, 0, size, size);
        if (!box) return;
        pen.globalAlpha = 1;
        pen.beginPath();
        inside(pen, size);
        if (mine) pen.save(), pen.clip(), pen.clearRect(0, 0, size, size), pen.restore();
        else pen.fill();
      };
      paint("mask", mask(true));
      paint("rest", mask(false));
      paint("mixture", (pen, size) => {
        pen.drawImage(box ? own : other, 0, 0, size, size);
        if (!box) pen.globalAlpha = lam;
        else pen.beginPath(), inside(pen, size), pen.clip();
        pen.drawImage(box ? other : own, 0, 0, size, size);
        pen.restore();
      });
      const [mine, rest] = [Math.round(100 * lam), Math.round(100 * (1 - lam))];
      const label = `Label: ${mine} % ${own.dataset.name}, ${rest} % ${other.dataset.name}`;
      front.querySelector("output").textContent = label;
    };
    const ready = [own, other].map((image) => image.decode().catch(() => {}));
    Promise.all(ready).then(() => {
      front.addEventListener("input", show);
      new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      show();
      front.dataset.ready = "";
    });
  }
};

addEventListener("DOMContentLoaded", () => {
  ask();
  paintFront();
});
