/* What pages can do beyond links and forms. Nothing here is needed: every page works without it. */
(() => {
  "use strict";
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- theme -----------------------------------------------------------------------------------------------------------
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  $("#theme")?.addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("twofold-theme", theme); } catch { /* for this page, then */ }
  });

  // On a narrow screen the names of the pages lie in one row, which may have to be moved to show where one is.
  $("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

  // --- keyboard ----------------------------------------------------------------------------------------------------------
  const help = $("#help");
  $("#ask-help")?.addEventListener("click", () => help?.showModal());
  $("#close-help")?.addEventListener("click", () => help?.close());

  const rows = () => $$("main [data-row]");
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
    const link = $("a, button, input", next) ?? next;
    link.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const follow = (rel) => $(`main a[rel~="${rel}"]`)?.click();
  let waiting = false; // for the second key after g
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (help?.open) return;
    if (waiting) {
      waiting = false;
      const link = $(`nav.main a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const does = {
      "/": () => { const box = $("#search"); box?.focus(); box?.select(); },
      "?": () => help?.showModal(),
      g: () => { waiting = true; setTimeout(() => { waiting = false; }, 1500); },
      j: () => step(1), k: () => step(-1), h: () => follow("prev"), l: () => follow("next"),
    }[event.key];
    if (does) { event.preventDefault(); does(); }
  });

  // --- what refreshes itself leaves alone what somebody is using ---------------------------------------------------------
  document.addEventListener("htmx:beforeRequest", (event) => {
    const part = event.target;
    if (!part.matches?.("[data-refresh]")) return;
    const busy = part.contains(document.activeElement) || $("details[open]", part) || document.hidden;
    if (busy || !getSelection().isCollapsed) event.preventDefault();
  });

  // --- what is copied ----------------------------------------------------------------------------------------------------
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText($(button.dataset.copy).textContent);
      button.textContent = "Copied";
    } catch { getSelection().selectAllChildren($(button.dataset.copy)); }
  });

  // --- a slider through versions: each step is a page of its own, of which a part is taken ----------------------------------
  const slider = () => {
    const range = $("#at");
    if (!range) return;
    let timer;
    range.addEventListener("input", () => {
      $("#at-shown").textContent = range.value;
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const address = new URL(range.form.action || location.href);
        address.search = new URLSearchParams(new FormData(range.form)).toString();
        const answer = await fetch(address, { headers: { Accept: "text/html" } });
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of $$("[data-at]")) {
          const fresh = page.getElementById(part.id);
          if (fresh) part.replaceChildren(...fresh.childNodes);
        }
        history.replaceState(null, "", address);
      }, 90);
    });
  };
  slider();

  // --- the live tail -------------------------------------------------------------------------------------------------------
  const tail = $("#tail");
  if (tail) {
    const most = 500; // rows that are kept
    const state = $("#tail-state");
    const pause = $("#tail-pause");
    let paused = false, source, held = 0;
    const say = (text) => { state.textContent = text; };
    const put = (html) => {
      const holder = document.createElement("template");
      holder.innerHTML = html; // rendered by the service, which escapes all that was stored
      tail.prepend(holder.content);
      while (tail.children.length > most) tail.lastElementChild.remove();
    };
    const open = () => {
      source = new EventSource(tail.dataset.source);
      source.onopen = () => say("live");
      source.onerror = () => say("broken off; it comes back by itself");
      for (const kind of ["event", "left"]) {
        source.addEventListener(kind, (message) => {
          if (paused) { held += 1; say(`paused; ${held} came meanwhile and are not shown`); return; }
          put(JSON.parse(message.data));
        });
      }
    };
    pause.addEventListener("click", () => {
      paused = !paused; held = 0;
      pause.textContent = paused ? "Go on" : "Pause";
      pause.setAttribute("aria-pressed", String(paused));
      say(paused ? "paused" : "live");
    });
    addEventListener("pagehide", () => source?.close());
    open();
  }
})();
