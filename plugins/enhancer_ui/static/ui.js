// Small helps; the pages work without them: the frame's colours, times in the reader's zone, a refresh while a run works.
"use strict";

const REFRESH_MS = 4000;

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

const PARTS = ["outcome", "summary", "failures", "chips", "rows", "pager"];
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
    remember(fresh);
    localTimes(fresh);
    page.replaceChildren(...fresh.childNodes);
    return;
  }
  const old = pieces(page);
  pieces(fresh).forEach((piece, index) => {
    if (sent.get(piece.id) === piece.outerHTML) return;
    sent.set(piece.id, piece.outerHTML);
    localTimes(piece);
    old[index].replaceWith(piece);
  });
}

async function refresh() {
  const banner = document.getElementById("connection");
  const again = () => setTimeout(refresh, REFRESH_MS);
  if (document.hidden) return again();
  let answer, text;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    text = await answer.text();
  } catch {
    banner.textContent = "The server does not answer; trying again.";
    banner.hidden = false;
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
  page.dataset.live = fresh.dataset.live;
  merge(page, fresh);
  if (page.dataset.live === "yes") again();
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

document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && explain(event.target), true);
for (const image of document.images) if (image.complete && !image.naturalWidth) explain(image);

const page = document.getElementById("page");
remember(page);
followTheme();
localTimes(document);
if (page.dataset.live === "yes") setTimeout(refresh, REFRESH_MS);
