// What the viewer is built of: its ways to compare, elements, histograms. Loaded before viewer.js.
"use strict";

const viewerParts = (() => {
  const MODES = [
    { name: "divide", key: "d", words: "Divider", label: "Share of the width that shows the picture before", value: 50 },
    { name: "pair", key: "s", words: "Side by side" },
    { name: "fade", key: "f", words: "Fade", label: "How much the picture before covers the one after", value: 50 },
    { name: "difference", key: "x", words: "Difference", label: "Difference, times", value: 4, min: 1, max: 32, step: 1 },
    { name: "before", key: "b", words: "Before" },
    { name: "after", key: "e", words: "After" },
  ];
  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  /** Pixels by brightness of one side, a line for each channel. */
  function histogram(side, channels) {
    const colours = channels.length === 1 ? ["grey"] : ["red", "green", "blue"];
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 64 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Histogram of the picture ${side}`);
    channels.forEach((counts, at) => {
      const line = document.createElementNS(SVG, "path");
      const steps = counts.map((count, bin) => `L${bin} ${100 - count / 10}L${bin + 1} ${100 - count / 10}`);
      line.setAttribute("d", `M0 100${steps.join("")}L64 100Z`);
      line.setAttribute("class", `pv-${colours[at]}`);
      svg.append(line);
    });
    return make("figure", {}, svg, make("figcaption", {}, side));
  }

  return { MODES, make, histogram };
})();
