// <picture-viewer>: a picture before and after its enhancement, in step, around OpenSeadragon. Needs
// openseadragon.min.js and viewer-parts.js before it.
// Attribute `views`: the address of what there is to show (api/views); or a child script element of type
// application/json with the same, for pages that stand alone.
"use strict";

(() => {
  const { MODES, make, histogram } = viewerParts;
  const SIDES = ["before", "after"];
  const MAX_ZOOM = 8;
  const PIXELS_FROM = 4; // from this zoom on pixels are shown as squares

  class PictureViewer extends HTMLElement {
    async connectedCallback() {
      if (this.sides) return;
      this.sides = {};
      let views;
      try {
        views = await this.#views();
      } catch (error) {
        this.append(make("p", { className: "pv-note", role: "status" }, `The viewer could not start: ${error.message}`));
        return;
      }
      if (!this.isConnected || !SIDES.some((side) => views.sides[side])) return;
      this.sides = views.sides;
      const largest = SIDES.map((side) => this.sides[side]).filter(Boolean);
      this.pixels = Math.max(...largest.map((side) => side.width || 0)) || 1000;
      this.#build(views);
      this.#listen();
      this.setMode(this.hasBoth ? "divide" : this.sides.after ? "after" : "before");
      await this.#load(this.main, SIDES.slice().reverse());
      if (!this.isConnected) return;
      this.stage.hidden = this.bar.hidden = !this.main.layers.length;
      this.amount.hidden ||= this.stage.hidden;
      this.#moved(this.main.osd);
      this.dataset.ready = "yes";
    }

    disconnectedCallback() {
      document.removeEventListener("keydown", this.onKey);
      this.main?.osd.destroy();
      this.second?.osd.destroy();
    }

    get hasBoth() {
      return SIDES.every((side) => this.sides[side] && this.#sources(side).length);
    }

    async #views() {
      const inline = this.querySelector("script[type='application/json']");
      if (inline) return JSON.parse(inline.textContent);
      const answer = await fetch(this.getAttribute("views"));
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error || answer.statusText);
      return found;
    }

    // ------------------------------------------------------------------ building

    #build(views) {
      this.mode = null;
      this.values = Object.fromEntries(MODES.map((mode) => [mode.name, mode.value]));
      const name = `pv-${Math.random().toString(36).slice(2)}`;
      this.radios = {};
      const modes = make("div", { className: "pv-modes", role: "radiogroup", "aria-label": "How to compare" });
      for (const mode of MODES) {
        const radio = make("input", { type: "radio", name, value: mode.name });
        radio.addEventListener("change", () => this.setMode(mode.name));
        radio.disabled = this.sides[mode.name] === null || (!this.hasBoth && !(mode.name in this.sides));
        this.radios[mode.name] = radio;
        modes.append(make("label", { title: `Key ${mode.key}` }, radio, make("span", {}, mode.words)));
      }
      const button = (words, title, act) => {
        const made = make("button", { type: "button", title }, words);
        if (!/\w/.test(words)) made.setAttribute("aria-label", title);
        made.addEventListener("click", act);
        return made;
      };
      this.zoomed = make("output", { className: "pv-percent", "aria-label": "Zoom" });
      this.histogramButton = button("Histogram", "Histogram (h)", () => this.toggleHistogram());
      this.histogramButton.setAttribute("aria-pressed", "false");
      this.wholeButton = button("Open full", "Open full (o)", () => this.toggleWhole());
      this.wholeButton.setAttribute("aria-pressed", "false");
      const zoom = make(
        "div",
        { className: "pv-zoom", role: "group", "aria-label": "Zoom" },
        button("\u2212", "Zoom out (\u2212)", () => this.zoomBy(1 / 1.5)),
        this.zoomed,
        button("+", "Zoom in (+)", () => this.zoomBy(1.5)),
        button("Fit", "Fit the picture (0)", () => this.fit()),
        button("100 %", "One pixel for one (1)", () => this.zoomTo(1)),
      );
      this.amount = make("input", { type: "range", className: "pv-amount" });
      this.amount.addEventListener("input", () => this.#amountChanged());
      this.bar = make("div", { className: "pv-bar" }, modes, zoom, this.histogramButton, this.wholeButton);
      this.main = { element: make("div", { className: "pv-canvas" }), layers: [] };
      this.other = make("div", { className: "pv-canvas", hidden: true });
      this.divider = make("div", { className: "pv-divider", "aria-hidden": "true" });
      this.stage = make("div", { className: "pv-stage" }, this.main.element, this.other, this.divider);
      this.tags = SIDES.map((side) => make("span", { className: `pv-tag pv-${side}`, "aria-hidden": "true" }, side));
      this.stage.append(...this.tags);
      this.histograms = make("div", { className: "pv-histograms", hidden: true });
      for (const side of SIDES) {
        const channels = this.sides[side]?.histogram || [];
        if (channels.length) this.histograms.append(histogram(side, channels));
      }
      this.histogramButton.hidden = !this.histograms.childElementCount;
      const notes = SIDES.filter((side) => this.sides[side]?.note || this.sides[side]?.reason).map(
        (side) => `${side}: ${[this.sides[side].note, this.sides[side].reason].filter(Boolean).join("; ")}`,
      );
      if (views.trouble) notes.push(views.trouble);
      this.note = make("p", { className: "pv-note", role: "status" }, notes.join(" \u00b7 "));
      this.replaceChildren(this.bar, this.amount, this.stage, this.histograms, this.note);
      this.main.osd = this.#viewer(this.main.element);
    }

    #viewer(element) {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const osd = OpenSeadragon({
        element,
        drawer: "canvas",
        showNavigationControl: false,
        visibilityRatio: 0.2,
        zoomPerScroll: 1.3,
        animationTime: still ? 0 : 0.35,
        imageLoaderLimit: 6,
        maxTilesPerFrame: 8,
        gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
        gestureSettingsPen: { clickToZoom: false },
      });
      osd.addHandler("canvas-key", (event) => {
        event.preventDefaultAction = true; // keys are this element's
      });
      osd.canvas.setAttribute("role", "application");
      osd.canvas.setAttribute("aria-label", "Picture: arrow keys move it, + and \u2212 zoom, 1 shows one pixel for one");
      osd.addHandler("viewport-change", () => this.#moved(osd));
      osd.addHandler("open", () => this.#moved(osd));
      osd.addHandler("resize", () => requestAnimationFrame(() => this.apply()));
      return osd;
    }

    /** What there is of a side, the quick and small first. */
    #sources(side) {
      const view = this.sides[side];
      const best = view.tiles ?? (view.picture && { type: "image", url: view.picture });
      const small = view.thumbnail && { type: "image", url: view.thumbnail, buildPyramid: false };
      return [small, best].filter(Boolean);
    }

    /** Thumbnails first, of all sides: a large picture must not keep the first view waiting. */
    async #load(pane, sides) {
      const jobs = sides.filter((side) => this.sides[side]).map((side) => ({ side, sources: this.#sources(side) }));
      const first = jobs.map(({ side, sources }) => sources.length > 1 && this.#add(pane, side, sources[0], true));
      const last = jobs.map(({ side, sources }) => sources.length && this.#add(pane, side, sources.at(-1), false));
      await Promise.all([...first, ...last]);
    }

    #add(pane, side, source, isPlaceholder) {
      const tileSource = structuredClone(source);
      return new Promise((resolve) => {
        const success = ({ item }) => {
          const layer = { side, item, isPlaceholder };
          if (isPlaceholder && pane.layers.some((other) => other.side === side)) {
            pane.osd.world.removeItem(item); // too late
            return resolve();
          }
          pane.layers.push(layer);
          if (!isPlaceholder) this.#replacePlaceholder(pane, layer);
          this.apply();
          resolve();
        };
        const error = () => {
          if (!isPlaceholder && !this.sides[side].reason) this.#explain(side, source);
          resolve();
        };
        pane.osd.addTiledImage({ tileSource, x: 0, y: 0, width: 1, success, error });
      });
    }

    /** The thumbnail goes when all of the picture that is in view is there. */
    #replacePlaceholder(pane, layer) {
      const drop = () => {
        const old = pane.layers.find((other) => other.side === layer.side && other.isPlaceholder);
        if (!old) return;
        pane.layers = pane.layers.filter((other) => other !== old);
        pane.osd.world.removeItem(old.item);
      };
      if (layer.item.getFullyLoaded()) return drop();
      layer.item.addHandler("fully-loaded-change", (event) => event.fullyLoaded && drop());
    }

    /** What the server says about a picture that could not be loaded. */
    async #explain(side, source) {
      let why = "it could not be loaded";
      const url = source.url ?? this.sides[side].thumbnail;
      if (url && !url.startsWith("data:")) {
        const answer = await fetch(url);
        if (!answer.ok) why = (await answer.json().catch(() => ({}))).error ?? answer.statusText;
      }
      this.note.append(`${this.note.textContent ? " \u00b7 " : ""}${side}: ${why}`);
    }

    // ------------------------------------------------------------------ what is shown

    setMode(name) {
      if (this.radios[name].disabled) return;
      const mode = MODES.find((one) => one.name === name);
      this.mode = name;
      this.radios[name].checked = true;
      this.dataset.mode = name;
      this.amount.hidden = mode.value === undefined;
      if (!this.amount.hidden) {
        Object.assign(this.amount, { min: mode.min ?? 0, max: mode.max ?? 100, step: mode.step ?? 0.5 });
        this.amount.value = this.values[name];
        this.amount.setAttribute("aria-label", mode.label);
        this.#amountChanged();
      }
      if (name === "pair" && !this.second) {
        this.second = { element: this.other, osd: this.#viewer(this.other), layers: [] };
        this.#load(this.second, ["after"]).then(() => this.#follow(this.main.osd));
      }
      this.other.hidden = name !== "pair";
      requestAnimationFrame(() => this.apply());
    }

    #amountChanged() {
      const value = Number(this.amount.value);
      this.values[this.mode] = value;
      const words = {
        divide: `${Math.round(value)} % of the width before, the rest after`,
        fade: `${Math.round(value)} % before`,
        difference: `difference times ${value}`,
      };
      this.amount.setAttribute("aria-valuetext", words[this.mode] ?? "");
      this.apply();
    }

    /** Mode, divider and fade onto the loaded pictures. */
    apply() {
      if (!this.main?.osd.viewport) return;
      const cut = this.mode === "divide" ? this.values.divide / 100 : 1;
      const at = this.main.osd.viewport.pointFromPixel(
        new OpenSeadragon.Point(cut * this.main.element.clientWidth, 0),
        true,
      ).x;
      for (const { side, item } of this.main.layers) this.#show(item, side, at);
      for (const { item } of this.second?.layers ?? []) item.setOpacity(1);
      this.stage.style.setProperty("--pv-cut", `${100 * cut}%`);
      const gain = this.mode === "difference" ? this.values.difference : 1;
      this.main.element.style.filter = gain === 1 ? "" : `brightness(${gain})`;
    }

    #show(item, side, at) {
      const { x: width, y: height } = item.getContentSize();
      const shares = {
        divide: 1,
        pair: side === "before" ? 1 : 0,
        fade: side === "before" ? this.values.fade / 100 : 1,
        difference: 1,
        before: side === "before" ? 1 : 0,
        after: side === "after" ? 1 : 0,
      };
      let opacity = shares[this.mode];
      let clip = null;
      if (this.mode === "divide") {
        const edge = Math.min(1, Math.max(0, at)) * width;
        clip = side === "before" ? [0, edge] : [edge, width - edge];
        if (clip[1] < 0.01) [opacity, clip] = [0, null];
      }
      item.setClip(clip && new OpenSeadragon.Rect(clip[0], 0, clip[1], height));
      item.setOpacity(opacity);
      item.setCompositeOperation(this.mode === "difference" && side === "before" ? "difference" : null);
    }

    toggleHistogram(shown = this.histograms.hidden) {
      if (this.histogramButton.hidden) return;
      this.histograms.hidden = !shown;
      this.histogramButton.setAttribute("aria-pressed", String(shown));
    }

    /** The viewer over the whole page, or back in its place. */
    toggleWhole(whole = !this.classList.contains("pv-whole")) {
      this.classList.toggle("pv-whole", whole);
      this.wholeButton.setAttribute("aria-pressed", String(whole));
      this.wholeButton.textContent = whole ? "Close" : "Open full";
    }

    // ------------------------------------------------------------------ zoom and position

    /** Screen pixels for each pixel of the larger picture. */
    get zoom() {
      return (this.main.osd.viewport.getZoom(true) * this.main.element.clientWidth) / this.pixels;
    }

    zoomTo(zoom) {
      this.main.osd.viewport.zoomTo((Math.min(zoom, MAX_ZOOM) * this.pixels) / this.main.element.clientWidth);
      this.main.osd.viewport.applyConstraints();
    }

    zoomBy(factor) {
      this.zoomTo(this.zoom * factor);
    }

    fit() {
      this.main.osd.viewport.goHome();
    }

    /** From half of what fits, or one pixel for one, to 800 %, whatever size the loaded files have. */
    #bound({ viewport }) {
      const one = this.pixels / this.main.element.clientWidth;
      viewport.minZoomLevel = Math.min(0.5 * viewport.getHomeZoom(), one);
      viewport.maxZoomLevel = Math.max(MAX_ZOOM * one, viewport.getHomeZoom());
    }

    #moved(osd) {
      this.#bound(osd);
      const zoom = this.zoom;
      this.zoomed.value = `${zoom < 0.1 ? (100 * zoom).toFixed(1) : Math.round(100 * zoom)} %`;
      for (const pane of [this.main, this.second]) pane?.osd.drawer?.setImageSmoothingEnabled(zoom < PIXELS_FROM);
      this.#follow(osd);
      this.apply();
    }

    /** Both panes in step. */
    #follow(leader) {
      const follower = leader === this.main.osd ? this.second?.osd : this.main.osd;
      if (this.mode !== "pair" || !follower?.viewport || this.following) return;
      this.following = true;
      follower.viewport.zoomTo(leader.viewport.getZoom(true), null, true);
      follower.viewport.panTo(leader.viewport.getCenter(true), true);
      this.following = false;
    }

    // ------------------------------------------------------------------ hands

    #listen() {
      this.onKey = (event) => this.#key(event);
      document.addEventListener("keydown", this.onKey);
      const move = (event) => {
        const box = this.stage.getBoundingClientRect();
        this.amount.value = Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width));
        this.#amountChanged();
      };
      this.divider.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.divider.setPointerCapture(event.pointerId);
        this.divider.addEventListener("pointermove", move);
      });
      this.divider.addEventListener("wheel", (event) => {
        event.preventDefault();
        const { viewport } = this.main.osd;
        const box = this.main.element.getBoundingClientRect();
        const at = new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top);
        viewport.zoomBy(event.deltaY < 0 ? 1.3 : 1 / 1.3, viewport.pointFromPixel(at, true));
        viewport.applyConstraints();
      });
      const release = () => this.divider.removeEventListener("pointermove", move);
      this.divider.addEventListener("pointerup", release);
      this.divider.addEventListener("pointercancel", release);
    }

    /** Keys count where the focus is in this viewer, or nowhere in particular and this is the only one. */
    #isMine(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
      const at = event.target;
      if (at.closest?.("dialog, textarea, select, [contenteditable], input:not([type=range]):not([type=radio])")) return false;
      return this.contains(at) || document.querySelectorAll("picture-viewer[data-mode]").length === 1;
    }

    #key(event) {
      if (!this.isConnected || !this.#isMine(event)) return;
      const pan = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const mode = MODES.find((one) => one.key === event.key);
      const acts = {
        1: () => this.zoomTo(1),
        0: () => this.fit(),
        "+": () => this.zoomBy(1.5),
        "=": () => this.zoomBy(1.5),
        "-": () => this.zoomBy(1 / 1.5),
        h: () => this.toggleHistogram(),
        o: () => this.toggleWhole(),
      };
      if (event.key === "Escape" && this.classList.contains("pv-whole")) acts.Escape = () => this.toggleWhole(false);
      if (mode) this.setMode(mode.name);
      else if (acts[event.key]) acts[event.key]();
      else if (pan && this.stage.contains(event.target)) {
        const step = new OpenSeadragon.Point(40 * pan[0], 40 * pan[1]);
        this.main.osd.viewport.panBy(this.main.osd.viewport.deltaPointsFromPixels(step));
        this.main.osd.viewport.applyConstraints();
      } else return;
      event.preventDefault();
    }
  }

  customElements.define("picture-viewer", PictureViewer);
})();
