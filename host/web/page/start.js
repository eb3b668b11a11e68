// Which sections there are and in what order; each stands alone, so that one that cannot be drawn
// takes no other along.

function report_sections(report) {
  const prepare = get(report, "prepare"), profile = get(prepare, "profile"),
        cut_away = get(report, "cut");
  return [
    ["goal", "Goal", () => show_goal(report)],
    ["candidates", "Candidates", () => show_leaderboard(report)],
    ["curves", "Learning curves", () => show_curves(report)],
    ["evaluation", "Evaluation", () => show_evaluation(report)],
    ["importance", "Feature importance", () => show_importance(report)],
    ["data", "Data", () => show_data(report)],
    [
      "columns", "Columns", () => show_columns(prepare, cut_away, "All of them are in report.json.")
    ],
    ["noticed", "Noticed in the data", () => show_profile_alerts(profile)],
    ["correlations", "Correlations", () => show_correlations(profile, cut_away)],
    ["deployment", "Deployment", () => show_deploy(report)],
    ["monitor", "Monitor", () => show_monitor(report, cut_away)],
    ["document", "Document", () => show_document(report)],
  ];
}

function profile_sections(data) {
  const profile = get(data, "profile"), cut_away = get(data, "cut");
  return [
    ["noticed", "Noticed", () => show_profile_alerts(profile)],
    ["target", "Target", () => show_profile_target(profile)],
    ["columns", "Columns", () => show_columns({profile}, cut_away, "")],
    ["correlations", "Correlations", () => show_correlations(profile, cut_away)],
  ];
}

// Draws one section into the page; what stops it is said in its place.
function show_section(page, nav, id, title, draw) {
  let content;
  try {
    content = draw();
  } catch (error) {
    content = el("p", {class: "reason"}, "This section could not be drawn: " + error.message);
  }
  if (!content) return;
  add(page,
    el("section", {id, "aria-labelledby": id + "-title"}, el("h2", {id: id + "-title"}, title),
      content));
  add(nav, el("a", {href: "#" + id}, title));
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page"), nav = document.getElementById("nav");
  const alone = get(data, "profile") !== undefined;  // the page of a profile, not of a run
  add(page,
    alone ? show_profile_header(text(get(data, "title")) || "Data profile", data.profile)
          : show_header(data));
  for (const [id, title, draw] of alone ? profile_sections(data) : report_sections(data))
    show_section(page, nav, id, title, draw);
  draw_new_charts();
  watch_theme();
}
