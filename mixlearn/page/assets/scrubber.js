// The epochs of a recorded run: a slider over them, and a button that plays them.
import { make, slider, button } from "./kit.js";

const PAUSE = 1000; // milliseconds an epoch is shown

/**
 * `change(epoch)` is called with each epoch that is gone to. Where less motion is asked for the button goes
 * one epoch on, and nothing moves by itself.
 */
export function scrubber({ epochs, value, change }) {
  const still = matchMedia("(prefers-reduced-motion: reduce)"),
    last = epochs.length - 1;
  let at = epochs.indexOf(value),
    timer = null;
  const scrub = slider({
    label: "Epochs trained",
    name: "epoch",
    min: 0,
    max: last,
    step: 1,
    value: at,
    show: (v) =>
      Number(v) ? `${epochs[v]} of ${epochs[last]}` : `0 of ${epochs[last]}, before the first step`,
    input: (v) => {
      rest();
      change(epochs[v]);
    },
  });
  const play = button(
    "",
    () => {
      if (still.matches) change(epochs[at === last ? 0 : at + 1]);
      else if (timer) rest();
      else {
        timer = setInterval(() => {
          if (at === last) rest();
          else change(epochs[at + 1]);
        }, PAUSE);
        if (at === last) change(epochs[0]);
        else name();
      }
    },
    { "data-name": "play" },
  );
  const name = () => {
    play.textContent = still.matches ? "Next epoch" : timer ? "Pause" : "Play";
  };
  const rest = () => {
    clearInterval(timer);
    timer = null;
    name();
  };
  still.addEventListener("change", rest);
  name();
  return {
    node: make("div", { class: "mlw-row mlw-scrub" }, play, scrub.node),
    set(epoch) {
      at = epochs.indexOf(epoch);
      scrub.set(at);
      name();
    },
    playing: () => timer !== null,
    forget() {
      rest();
      still.removeEventListener("change", rest);
    },
  };
}
