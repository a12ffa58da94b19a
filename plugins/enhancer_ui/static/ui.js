// Small helps; the pages work without them: the frame's colours, times in the reader's zone, a refresh while a run works,
// choosing many pictures, keys.
"use strict";

const REFRESH_MS = 3000; // the first refresh, and after anything has changed
const LONGEST_MS = 60000; // it backs off to this while nothing changes
let pause = REFRESH_MS;

/** In the Airflow UI, its own light or dark choice wins over the system's. */
function followTheme() {
  if (window.parent === window) return;
  let outer;
  try {
    outer = window.parent.document.documentElement;
  } catch {
    return; // not Airflow's frame
  }
  const apply = () => {
    const dark = outer.classList.contains("dark");
    if (dark || outer.classList.contains("light")) document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  new MutationObserver(apply).observe(outer, { attributeFilter: ["class"] });
  apply();
}

/** Times in the reader's own zone and language. */
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

const PARTS = ["outcome", "summary", "failures", "chips", "rows", "pager"]; // what a refresh may change
const sent = new Map(); // what the server last sent of each part and row; the page itself changes (times)

function pieces(page) {
  const parts = PARTS.map((id) => page.querySelector("#" + id)).filter(Boolean);
  return parts.flatMap((part) => (part.id === "rows" ? [...part.children] : [part]));
}

function remember(page) {
  for (const piece of pieces(page)) sent.set(piece.id, piece.outerHTML);
}

/** Put what changed into the page, and leave alone what did not: pictures do not flicker and focus stays. */
function merge(page, fresh) {
  const ids = (root) => pieces(root).map((piece) => piece.id).join(" ");
  if (!ids(page) || ids(page) !== ids(fresh)) {
    if (!ids(page) && page.textContent === fresh.textContent) return false;
    remember(fresh);
    localTimes(fresh);
    page.replaceChildren(...fresh.childNodes);
    return true;
  }
  let changed = false;
  const old = pieces(page);
  pieces(fresh).forEach((piece, index) => {
    if (sent.get(piece.id) === piece.outerHTML) return;
    changed = true;
    sent.set(piece.id, piece.outerHTML);
    localTimes(piece);
    old[index].replaceWith(piece);
  });
  return changed;
}

async function refresh() {
  const banner = document.getElementById("connection");
  const again = () => setTimeout(refresh, pause);
  const later = () => (pause = Math.min(LONGEST_MS, pause * 1.5));
  if (document.hidden) return again();
  let answer, text;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    text = await answer.text();
  } catch {
    banner.textContent = "The server does not answer; trying again.";
    banner.hidden = false;
    later();
    return again();
  }
  if (answer.status === 401) {
    banner.textContent = "Your login has expired: log in to Airflow again.";
    banner.hidden = false;
    return;
  }
  if (answer.redirected) return location.replace(answer.url);
  banner.hidden = true;
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("page");
  if (!fresh) return again();
  if (fresh.dataset.live !== "yes") return location.reload(); // it is over: there is more on the page now
  if (merge(page, fresh)) pause = REFRESH_MS;
  else later();
  again();
}

/** A picture that is gone or cannot be shown says so in words. */
async function explain(image) {
  const small = image.closest(".thumb") !== null;
  const note = document.createElement(small ? "span" : "p");
  note.className = small ? "nothing" : "blank";
  image.replaceWith(note);
  if (small) return;
  note.textContent = "This picture cannot be shown.";
  const answer = await fetch(image.src);
  if (!answer.ok) note.textContent = (await answer.json()).error;
}

/** Ticks: how many are chosen, a range with Shift, and buttons only once there is something to decide on. */
function choosing() {
  const form = document.getElementById("decide");
  const chosen = document.getElementById("chosen");
  if (!form || !chosen) return;
  const every = form.querySelector("[name=every]");
  const ticks = () => [...document.querySelectorAll(".pick input:not([disabled])")];
  let last = null;
  const count = () => {
    const number = ticks().filter((tick) => tick.checked).length;
    chosen.textContent = every.checked ? "" : number ? `${number} chosen` : "or those chosen below";
    for (const button of form.querySelectorAll("button")) button.disabled = !every.checked && !number;
  };
  document.addEventListener("click", (event) => {
    const all = ticks();
    const at = all.indexOf(event.target);
    if (at < 0) return;
    if (event.shiftKey && last !== null) {
      const [from, to] = [Math.min(at, last), Math.max(at, last)];
      for (const tick of all.slice(from, to + 1)) tick.checked = event.target.checked;
    }
    last = at;
    count();
  });
  document.addEventListener("change", count);
  count();
}

/** A key presses the button that names it; never while somebody writes. */
function keys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
    if (button && !button.disabled) button.click();
  });
}

document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && explain(event.target), true);
for (const image of document.images) if (image.complete && !image.naturalWidth) explain(image);

const page = document.getElementById("page");
remember(page);
followTheme();
localTimes(document);
choosing();
keys();
if (page.dataset.live === "yes") setTimeout(refresh, pause);
document.addEventListener("visibilitychange", () => {
  pause = REFRESH_MS; // whoever comes back sees what is new soon
});
