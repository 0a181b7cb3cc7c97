// What pages do beyond htmx: questions in a dialog, ages that grow, and whether the page is live.
// Every page works without this file.
"use strict";
(() => {
  const dialog = document.getElementById("dialog");
  const told = document.getElementById("told");
  const stream = document.getElementById("stream");
  let asked = null;

  // Questions: the link's own page, shown in a dialog.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      asked = link;
      htmx.ajax("GET", link.getAttribute("href"), { source: link, target: "#dialog" });
      return;
    }
    if (event.target.closest("#dialog [data-close]")) {
      event.preventDefault();
      dialog.close();
    }
    if (event.target.closest("[data-dismiss]")) told.replaceChildren();
    if (event.target === dialog) dialog.close();
  });

  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.target !== dialog) return;
    if (!dialog.open) dialog.showModal();
    (dialog.querySelector("[autofocus]") || dialog.querySelector("input:not([type=hidden]), a, button")).focus();
  });
  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    // The link may have been made anew while the dialog was open.
    const link = asked && (asked.isConnected ? asked : document.querySelector(`a[href="${CSS.escape(asked.getAttribute("href"))}"]`));
    if (link) link.focus();
    asked = null;
  });
  document.addEventListener("acted", () => { if (dialog.open) dialog.close(); });

  // Where a part of the page cannot be had, the whole page says why.
  document.addEventListener("htmx:response:error", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link) location.href = link.href;
  });

  // Whether the page is live; where it cannot be, it asks now and then.
  const say = (state, word) => {
    if (stream.dataset.state === state) return;
    stream.dataset.state = state;
    stream.lastElementChild.textContent = word;
  };
  document.addEventListener("htmx:sse:after:connection", (event) => {
    if (event.detail.connection.status === 200) say("live", "Live");
  });
  for (const name of ["htmx:sse:error", "htmx:sse:close"]) document.addEventListener(name, () => say("off", "Not live"));
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0 && stream.dataset.state === "live") say("off", "Reconnecting");
  });
  setInterval(() => {
    if (stream.dataset.state !== "live" && !document.hidden) htmx.trigger(stream, "pulse");
  }, 30000);

  // Ages grow while a page stays open and nothing happens.
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const span = (seconds) => {
    const [size, unit] = units.find(([size]) => seconds >= size) || units[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  };
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
      const text = Math.abs(seconds) < 5 ? "now" : seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
      if (time.textContent !== text) time.textContent = text;
    }
  }, 5000);
})();
