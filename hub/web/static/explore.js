// The account's chart, day by day: loads Vega at the first press and draws the same spec with a line that tells each day.
// Vega's expressions are interpreted, never compiled, so the page needs no unsafe-eval.
"use strict";

function loaded(source) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = done;
    script.onerror = () => failed(new Error(`${source} could not be loaded`));
    document.head.append(script);
  });
}

function teller(line) {
  return (_handler, _event, _item, value) => {
    line.textContent = value ? Object.entries(value).map(([name, said]) => `${name}: ${said}`).join(" · ") : line.dataset.empty;
  };
}

// One stop for a screen reader instead of one for each mark.
function silence(svg, words) {
  for (const mark of svg.querySelectorAll("[role]")) {
    mark.removeAttribute("role");
    mark.removeAttribute("aria-roledescription");
  }
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
}

for (const button of document.querySelectorAll("[data-explore]")) {
  const figure = document.getElementById("chart");
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const size = matchMedia("(max-width: 640px)").matches ? "narrow" : "wide";
    const line = document.createElement("p");
    line.className = "told pad";
    line.dataset.empty = line.textContent = "Point at a day to read its numbers.";
    try {
      if (!window.vegaEmbed) await loaded("/charts/vega.js");
      const spec = await (await fetch(`${button.dataset.explore}&theme=${theme}&size=${size}`)).json();
      const live = document.createElement("div");
      live.className = "live";
      const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, logLevel: 1, tooltip: teller(line) };
      await window.vegaEmbed(live, spec, options);
      silence(live.querySelector("svg"), spec.description);
      figure.querySelector("picture").replaceWith(live, line);
      button.remove();
    } catch (error) {
      line.textContent = `The chart could not be drawn here (${error.message}); the picture above stays.`;
      figure.append(line);
      button.disabled = false;
    }
  });
}
