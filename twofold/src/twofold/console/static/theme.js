/* Runs before the page is drawn: the chosen theme, and that there are scripts. */
(() => {
  const root = document.documentElement;
  root.classList.add("has-scripts");
  try {
    const theme = localStorage.getItem("twofold-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch { /* storage may be forbidden; the system's theme will do */ }
})();
