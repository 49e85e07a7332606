// The theme before the first paint, and its button: system, light, dark. The choice stays in this browser.
(() => {
  "use strict";
  const KEY = "recur-theme";
  const root = document.documentElement;
  const read = () => {
    try { return localStorage.getItem(KEY) || "system"; } catch { return "system"; }
  };
  const apply = (theme) => {
    if (theme === "system") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    document.dispatchEvent(new CustomEvent("recur:theme"));
  };
  apply(read());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => { button.querySelector("[data-theme-name]").textContent = read(); };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      const order = ["system", "light", "dark"];
      const next = order[(order.indexOf(read()) + 1) % order.length];
      try { localStorage.setItem(KEY, next); } catch { /* private mode: the choice lasts for this page */ }
      apply(next);
      label();
    });
  });
})();
