/* serve/watch/worker.h: `lathe worker watch`: one question about what a version has served, answered and ended. [worker]
 *
 * Drift measures and metrics are plugins, so that the supervisor asks a process of its own, of the lowest priority. It reads
 * from its standard input a line of JSON
 *
 *     {"model": "/…/file", "plugin_cache": "…", "key": n,
 *      "cells": n, "outputs": m,                             numbers that follow: counts of features, and of answers
 *      "drift": true,                                        by the measures of the model's document
 *      "guards": {"feature_drift": [{"psi": {"threshold": 0.2}}, …], "output_drift": […]},        measures
 *      "quality": {"sides": [{"rows": n}, …], "width": w, "errors": true}}           labelled answers, side by side
 *
 * and behind it doubles: `cells` and `outputs` as lathe_live_total_save has them, then for each side its rows: truth (the value,
 * or the number of the class), prediction, and w - 2 probabilities. It answers
 *
 *     {"features": [{"name", "present", "scores": [{"metric", "statistic", "p_value", "threshold", "beyond",
 *                    "by_chance"}]}], "outputs": [the same],
 *      "guards": {"feature_drift": {"name", "metric", "statistic", "threshold", "beyond"}, …},      the worst
 *      "quality": {"metric": "auc", "higher_is_better": true, "values": [0.9, null], "errors": [0.01, null]}}
 *
 * A score that cannot be computed has a null statistic.
 */
#ifndef LATHE_SERVE_WATCH_WORKER_H
#define LATHE_SERVE_WATCH_WORKER_H

int lathe_worker_watch(void);

#endif
