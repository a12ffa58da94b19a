// From picture to picture: a list of pictures remembers itself when one is opened, and the picture's page goes on from
// there. n and p: next and previous; l: back to the list, where one was; ?: the keys.
"use strict";

(() => {
  const KEPT = "enhancer.list";
  const rows = () => document.getElementById("rows");
  const links = () => [...rows().querySelectorAll("th a[href]")].map((link) => link.href);

  function remember() {
    const other = (rel) => document.querySelector(`#pager a[rel=${rel}]`)?.href ?? null;
    const list = { at: location.href, links: links(), next: other("next"), previous: other("prev"), scroll: scrollY };
    sessionStorage.setItem(KEPT, JSON.stringify(list));
  }

  /** A list that was left comes back as it was: at the same place, with the focus on the picture that was open. */
  function restore() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (!kept?.opened || kept.at !== location.href) return;
    scrollTo(0, kept.scroll);
    [...rows().querySelectorAll("th a[href]")].find((link) => link.href === kept.opened)?.focus({ preventScroll: true });
  }

  /** The links of a picture's page, where it was opened from a list. */
  function walk() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    const at = kept ? kept.links.indexOf(location.href) : -1;
    const bar = document.querySelector(".pv-walk");
    if (!bar || at < 0) return {};
    sessionStorage.setItem(KEPT, JSON.stringify({ ...kept, opened: location.href }));
    const places = {
      p: kept.links[at - 1] ?? kept.previous,
      l: kept.at,
      n: kept.links[at + 1] ?? kept.next,
    };
    for (const [key, href] of Object.entries(places)) {
      const link = bar.querySelector(`[data-key=${key}]`);
      if (href) link.href = href;
      else link.hidden = true;
    }
    bar.querySelector("[data-place]").textContent = `${at + 1} of ${kept.links.length} in the list`;
    bar.hidden = false;
    return { ...places, ArrowLeft: places.p, ArrowRight: places.n };
  }

  function listen(places) {
    const help = document.getElementById("keys");
    document.addEventListener("keydown", (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
      if (event.key === "?" && help) help.showModal();
      else if (places[event.key]) location.assign(places[event.key]);
    });
    document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());
  }

  if (rows()) {
    document.addEventListener("click", (event) => event.target.closest?.("#rows a[href]") && remember(), true);
    restore();
  } else listen(walk());
})();
