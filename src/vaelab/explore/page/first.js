// Before anything is drawn: the reader's last choices, else the language the page was written for.
try {
  const root = document.documentElement, language = localStorage.vaelabLanguage, theme = localStorage.vaelabTheme;
  if (language === "en" || language === "zh-Hans") root.lang = language;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
} catch { /* storage may be closed to files: then nothing is remembered */ }
