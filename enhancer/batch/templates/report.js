"use strict";
// A pair of the report opens in the viewer, in its place; one at a time.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button.compare");
  if (!button) return;
  const open = document.querySelector("picture-viewer");
  const card = button.closest("article");
  const isOpen = open !== null && card.contains(open);
  if (open) {
    open.closest("article").classList.remove("open");
    open.closest("article").querySelector("button.compare").setAttribute("aria-expanded", "false");
    open.remove();
  }
  if (isOpen) return;
  const views = JSON.parse(card.querySelector("script[type='application/json']").textContent);
  for (const [side, view] of Object.entries(views.sides)) {
    if (view) view.picture ??= card.querySelector(`img[data-side=${side}]`).src;
  }
  const viewer = document.createElement("picture-viewer");
  const data = document.createElement("script");
  data.type = "application/json";
  data.textContent = JSON.stringify(views);
  viewer.append(data);
  card.classList.add("open");
  button.setAttribute("aria-expanded", "true");
  card.append(viewer);
  card.scrollIntoView({ block: "nearest" });
});
