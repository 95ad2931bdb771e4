// Search shows a summary of each page it finds by fetching that page, which browsers refuse when the book is opened from
// disk. There the results are shown without summaries.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
