// Words first, then charts, then tables: what is in sight comes before what is not.
startCharts();
(window.requestIdleCallback || ((act) => setTimeout(act, 1)))(() => {
  startTables();
  if (window.startPlanner) startPlanner();
  document.documentElement.dataset.ready = "1";
});
