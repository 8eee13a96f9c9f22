// Before the first paint, hence no module: the theme that was chosen, else the system's.
(() => {
  const colors = { light: "#eceeee", dark: "#101112" };
  const apply = () => {
    let theme = null;
    try {
      theme = JSON.parse(localStorage.getItem("reelbase.theme"));
    } catch {
      // A browser that keeps nothing follows the system.
    }
    if (theme in colors) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
      meta.content = colors[theme] ?? colors[meta.media.includes("dark") ? "dark" : "light"];
    }
  };
  apply();
  // `themechange` is ours (see setTheme in state.js), `storage` another tab's.
  addEventListener("themechange", apply);
  addEventListener("storage", apply);
})();
