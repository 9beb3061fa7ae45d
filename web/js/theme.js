// A classic script, loaded before the first paint: a chosen theme must not flash the other one.
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem("turnd") ?? "{}");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // The system's theme it is.
  }
})();
