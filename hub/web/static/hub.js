// The console's one script. Pages work without it: it shows times in the reader's zone, copies, and adds keys:
// "/" search, j and k next and previous, o open or close, l look now. None counts while typing.
"use strict";

const tenMonths = 300 * 86400 * 1000;

function inReadersZone(time) {
  const when = new Date(time.dateTime);
  const form = time.dataset.form;
  const day = { day: "numeric", month: "short" };
  if (Math.abs(Date.now() - when) >= tenMonths) day.year = "numeric";
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (form !== "minute") clock.second = "2-digit";
  const said = when.toLocaleTimeString("en-GB", clock);
  return form === "clock" ? said : `${when.toLocaleDateString("en-GB", day)}, ${said}`;
}

for (const time of document.querySelectorAll("time[data-form]")) time.textContent = inReadersZone(time);

function step(by) {
  const all = [...document.querySelectorAll(".look > summary, .why > summary, .tbl tbody tr td.first a, .need a.t")];
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  if (next) next.focus();
}

const keys = {
  "/": () => document.querySelector(".top .find input").focus(),
  j: () => step(1),
  k: () => step(-1),
  o: () => document.activeElement.click(),
  l: () => document.querySelector('.head form[action="/actions/look"] button')?.click(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [popover]:popover-open");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  if (event.key === "o" && !event.target.closest("summary, a")) return;
  event.preventDefault();
  keys[event.key]();
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}
