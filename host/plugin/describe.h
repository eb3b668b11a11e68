/* plugin/describe.h: what plugins offer, as text, JSON and JSON Schema. All from the rebuilt
 * tables: no plugin runs. [any]
 */
#ifndef LATHE_PLUGIN_DESCRIBE_H
#define LATHE_PLUGIN_DESCRIBE_H

#include "base/jsonw.h"
#include "plugin/catalogue.h"

/* JSON Schema, draft 2020-12: a "$defs" member for every kind, named by the kind ("learner"),
 * that takes any of its plugins: {"learner": {"anyOf": […]}, …, "columns": {…}}. Nested
 * components refer to "#/$defs/<kind>". `candidates`: learners may also be {"candidate":
 * "name"}. Written as one object. */
void lathe_describe_schema_defs(const lathe_catalogue *catalogue, bool candidates, lathe_jsonw *w);

/* The schema of one plugin's parameters (an object schema). */
void lathe_describe_schema_params(const lathe_plugin *plugin, lathe_jsonw *w);

/* `lathe plugins info`: one plugin in full. */
void lathe_describe_plugin_text(const lathe_plugin *plugin, lathe_buf *out);
void lathe_describe_plugin_json(const lathe_plugin *plugin, lathe_jsonw *w);

/* `lathe plugins list`: kinds (NULL: all), with what was refused and why. */
void lathe_describe_list_text(const lathe_catalogue *catalogue, const char *kinds, lathe_buf *out);
void lathe_describe_list_json(const lathe_catalogue *catalogue, const char *kinds, lathe_jsonw *w);

#endif
