// What JavaScript adds to the order desk: pages that follow what happens, and keys. Without it, all of them work.
"use strict";

// An element with data-live follows a stream of events. Each one refreshes what the element says, itself by default.
// What the page shows already (data-version) is not fetched again. A page that nobody sees holds no connection.
for (const element of document.querySelectorAll("[data-live]")) {
  const { live, liveEvent, refresh } = element.dataset;
  let source = null;
  const follow = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(live);
    source.addEventListener(liveEvent, (event) => {
      const shown = document.querySelector("[data-version]");
      if (shown && JSON.parse(event.data).version <= Number(shown.dataset.version)) return;
      htmx.trigger(refresh ?? element, "refresh");
    });
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}

// The address of a search has no fields that are empty.
document.addEventListener("htmx:configRequest", (event) => {
  for (const [name, value] of [...event.detail.formData.entries()]) {
    if (value === "") event.detail.formData.delete(name);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const search = document.querySelector("#q");
  switch (event.key) {
    case "/":
      if (search) search.focus();
      else document.querySelector(".brand").click();
      break;
    case "j":
      rows[Math.min(at + 1, rows.length - 1)]?.focus();
      break;
    case "k":
      rows[Math.max(at - 1, 0)]?.focus();
      break;
    case "n":
      document.querySelector("[data-key=n]").click();
      break;
    case "?":
      document.querySelector("#keys").open = true;
      document.querySelector("#keys summary").focus();
      break;
    default:
      return;
  }
  event.preventDefault();
});
