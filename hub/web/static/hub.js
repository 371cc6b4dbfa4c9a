// The console's one script. Pages work without it: it shows times in the reader's zone and adds the key "/".
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

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  document.querySelector(".top .find input").focus();
});
