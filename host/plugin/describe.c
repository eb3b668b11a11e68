#include "plugin/describe.h"

#include "plugin/bind_internal.h"
#include "plugin/kinds.h"

#include <string.h>

/* ---- one plugin ---- */

static void spaces(lathe_buf *out, int n) {
    for (int i = 0; i < n; i++)
        lathe_buf_append_char(out, ' ');
}

static void text_params(const lathe_param *params, uint32_t n, int indent, lathe_buf *out) {
    char words[512];
    for (uint32_t i = 0; i < n; i++) {
        const lathe_param *p = &params[i];
        spaces(out, indent);
        lathe_buf_printf(out, "%s: %s", p->name,
                         lathe_bind_expected(p, false, words, sizeof words));
        if (p->def != NULL)
            lathe_buf_printf(out, "; default %s", p->def);
        else
            lathe_buf_append_str(out, "; required");
        for (const lathe_task_default *t = p->by_task; t != NULL && t->task != 0; t++)
            lathe_buf_printf(out, ", for %s %s", lathe_task_name(t->task), t->value);
        if (p->alias != NULL)
            lathe_buf_printf(out, "; formerly %s", p->alias);
        lathe_buf_append_char(out, '\n');
        spaces(out, indent + 4);
        lathe_buf_printf(out, "%s\n", p->doc);
        if (p->type == LATHE_PARAM_RECORD)
            text_params(p->fields, p->n_fields, indent + 4, out);
    }
}

static void text_flags(const lathe_descriptor *d, const lathe_kind *kind, lathe_buf *out) {
    bool any = false;
    for (size_t i = 0; i < kind->n_flags; i++) {
        if (!(d->flags & kind->flags[i].bit))
            continue;
        lathe_buf_printf(out, "%s%s", any ? ", " : "  flags:    ", kind->flags[i].name);
        any = true;
    }
    if (any)
        lathe_buf_append_char(out, '\n');
}

void lathe_describe_plugin_text(const lathe_plugin *plugin, lathe_buf *out) {
    const lathe_descriptor *d = plugin->descriptor;
    const lathe_kind *kind = lathe_kind_find(d->kind);
    char words[128];
    lathe_buf_printf(out, "%s (%s), %s, version %s\n  %s\n", d->name, d->id, kind->article,
                     d->version, d->doc);
    lathe_buf_printf(out, "  tasks:    %s\n", lathe_task_words(d->tasks, words, sizeof words));
    text_flags(d, kind, out);
    lathe_buf_printf(out, "  license:  %s\n", d->license);
    if (d->url != NULL)
        lathe_buf_printf(out, "  url:      %s\n", d->url);
    lathe_buf_printf(out, "  file:     %s (SDK %s, sha256 %.16s…)\n", plugin->file->path,
                     plugin->file->sdk_version, plugin->file->digest);
    if (plugin->hidden != NULL)
        lathe_buf_printf(out, "  not in use: %s\n", plugin->hidden);
    if (plugin->name_lost != NULL)
        lathe_buf_printf(out, "  by id only: %s\n", plugin->name_lost);
    if (d->n_params == 0) {
        lathe_buf_append_str(out, "  no parameters\n");
        return;
    }
    lathe_buf_append_str(out, "  parameters:\n");
    text_params(d->params, d->n_params, 4, out);
}

static const char *type_name(int32_t type) {
    static const char *const names[] = {"?",      "bool",      "int",         "float",
                                        "string", "enum",      "int_or_enum", "scalar",
                                        "record", "component", "columns"};
    return type > 0 && type <= LATHE_PARAM_COLUMNS ? names[type] : names[0];
}

static void json_params(const lathe_param *params, uint32_t n, lathe_jsonw *w);

static void json_param(const lathe_param *p, lathe_jsonw *w) {
    char words[512];
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "name", p->name);
    lathe_jsonw_kv_str(w, "type", type_name(p->type));
    lathe_jsonw_kv_str(w, "takes", lathe_bind_expected(p, false, words, sizeof words));
    lathe_jsonw_kv_str(w, "doc", p->doc);
    lathe_jsonw_kv_bool(w, "required", (p->flags & LATHE_PARAM_REQUIRED) != 0);
    lathe_jsonw_kv_bool(w, "nullable", (p->flags & LATHE_PARAM_NULLABLE) != 0);
    lathe_jsonw_kv_bool(w, "list", (p->flags & LATHE_PARAM_LIST) != 0);
    lathe_jsonw_kv_bool(w, "map", (p->flags & LATHE_PARAM_MAP) != 0);
    lathe_jsonw_kv_bool(w, "tunable", (p->flags & LATHE_PARAM_TUNABLE) != 0);
    lathe_jsonw_kv_str(w, "scale", p->scale == LATHE_SCALE_LOG ? "log" : "linear");
    if (p->def != NULL) {
        lathe_jsonw_key(w, "default");
        lathe_jsonw_raw(w, p->def, strlen(p->def));
    }
    if (p->by_task != NULL) {
        lathe_jsonw_key(w, "default_by_task");
        lathe_jsonw_begin_object(w);
        for (const lathe_task_default *t = p->by_task; t->task != 0; t++) {
            lathe_jsonw_key(w, lathe_task_name(t->task));
            lathe_jsonw_raw(w, t->value, strlen(t->value));
        }
        lathe_jsonw_end_object(w);
    }
    if (p->flags & LATHE_PARAM_HAS_MIN)
        lathe_jsonw_kv_double(w, p->flags & LATHE_PARAM_EXCL_MIN ? "above" : "min", p->min);
    if (p->flags & LATHE_PARAM_HAS_MAX)
        lathe_jsonw_kv_double(w, p->flags & LATHE_PARAM_EXCL_MAX ? "below" : "max", p->max);
    if (p->choices != NULL) {
        lathe_jsonw_key(w, "choices");
        lathe_jsonw_begin_array(w);
        for (size_t i = 0; p->choices[i] != NULL; i++)
            lathe_jsonw_str(w, p->choices[i]);
        lathe_jsonw_end_array(w);
    }
    if (p->unit != NULL)
        lathe_jsonw_kv_str(w, "unit", p->unit);
    if (p->alias != NULL)
        lathe_jsonw_kv_str(w, "alias", p->alias);
    if (p->type == LATHE_PARAM_COMPONENT)
        lathe_jsonw_kv_str(w, "kind", p->kind);
    if (p->type == LATHE_PARAM_RECORD) {
        lathe_jsonw_key(w, "fields");
        json_params(p->fields, p->n_fields, w);
    }
    lathe_jsonw_end_object(w);
}

static void json_params(const lathe_param *params, uint32_t n, lathe_jsonw *w) {
    lathe_jsonw_begin_array(w);
    for (uint32_t i = 0; i < n; i++)
        json_param(&params[i], w);
    lathe_jsonw_end_array(w);
}

/* The members that list and info share. */
static void json_head(const lathe_plugin *plugin, lathe_jsonw *w) {
    const lathe_descriptor *d = plugin->descriptor;
    lathe_jsonw_kv_str(w, "id", d->id);
    lathe_jsonw_kv_str(w, "name", d->name);
    lathe_jsonw_kv_str(w, "kind", lathe_kind_find(d->kind)->name);
    lathe_jsonw_kv_str(w, "version", d->version);
    lathe_jsonw_kv_str(w, "doc", d->doc);
    lathe_jsonw_kv_bool(w, "in_use", plugin->hidden == NULL);
    if (plugin->hidden != NULL)
        lathe_jsonw_kv_str(w, "reason", plugin->hidden);
    if (plugin->name_lost != NULL)
        lathe_jsonw_kv_str(w, "by_id_only", plugin->name_lost);
    lathe_jsonw_kv_bool(w, "builtin", plugin->file->builtin);
    lathe_jsonw_kv_str(w, "file", plugin->file->path);
}

void lathe_describe_plugin_json(const lathe_plugin *plugin, lathe_jsonw *w) {
    const lathe_descriptor *d = plugin->descriptor;
    const lathe_kind *kind = lathe_kind_find(d->kind);
    lathe_jsonw_begin_object(w);
    json_head(plugin, w);
    lathe_jsonw_kv_str(w, "license", d->license);
    lathe_jsonw_kv_str(w, "url", d->url);
    lathe_jsonw_kv_str(w, "sdk", plugin->file->sdk_version);
    lathe_jsonw_kv_str(w, "digest", plugin->file->digest);
    lathe_jsonw_key(w, "tasks");
    lathe_jsonw_begin_array(w);
    for (int32_t t = LATHE_TASK_REGRESSION; t <= LATHE_TASK_MULTICLASS; t++)
        if (d->tasks == 0 || (d->tasks & LATHE_TASK_BIT(t)))
            lathe_jsonw_str(w, lathe_task_name(t));
    lathe_jsonw_end_array(w);
    lathe_jsonw_key(w, "flags");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; i < kind->n_flags; i++)
        if (d->flags & kind->flags[i].bit)
            lathe_jsonw_str(w, kind->flags[i].name);
    lathe_jsonw_end_array(w);
    lathe_jsonw_kv_int(w, "state_version", d->state_version);
    lathe_jsonw_key(w, "params");
    json_params(d->params, d->n_params, w);
    lathe_jsonw_end_object(w);
}

/* ---- lists ---- */

static size_t name_width(const lathe_catalogue *c, const char *kinds) {
    size_t width = 0;
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        size_t len = strlen(p->name_lost != NULL ? p->descriptor->id : p->descriptor->name);
        if (p->hidden == NULL && lathe_kind_in(p->descriptor->kind, kinds) && len > width)
            width = len;
    }
    return width;
}

void lathe_describe_list_text(const lathe_catalogue *c, const char *kinds, lathe_buf *out) {
    int width = (int)name_width(c, kinds);
    for (size_t k = 0; k < lathe_kind_count(); k++) {
        const lathe_kind *kind = lathe_kind_at(k);
        bool any = false;
        for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
            const lathe_plugin *p = lathe_catalogue_at(c, i);
            const lathe_descriptor *d = p->descriptor;
            if (p->hidden != NULL || strcmp(d->kind, kind->id) != 0 ||
                !lathe_kind_in(d->kind, kinds))
                continue;
            if (!any)
                lathe_buf_printf(out, "%s\n", kind->plural);
            any = true;
            lathe_buf_printf(out, "  %-*s  %s\n", width, p->name_lost != NULL ? d->id : d->name,
                             d->doc);
        }
    }
    if (lathe_catalogue_note_count(c) == 0)
        return;
    lathe_buf_append_str(out, "not in use\n");
    for (size_t i = 0; i < lathe_catalogue_note_count(c); i++)
        lathe_buf_printf(out, "  %s\n", lathe_catalogue_note_at(c, i));
}

void lathe_describe_list_json(const lathe_catalogue *c, const char *kinds, lathe_jsonw *w) {
    static const char *const states[] = {"ready", "refused", "crashed", "hung"};
    lathe_jsonw_begin_object(w);
    lathe_jsonw_key(w, "plugins");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        if (!lathe_kind_in(p->descriptor->kind, kinds))
            continue;
        lathe_jsonw_begin_object(w);
        json_head(p, w);
        lathe_jsonw_end_object(w);
    }
    lathe_jsonw_end_array(w);
    lathe_jsonw_key(w, "refused");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; i < lathe_catalogue_file_count(c); i++) {
        const lathe_plugin_file *f = lathe_catalogue_file_at(c, i);
        if (f->status == LATHE_FILE_READY)
            continue;
        lathe_jsonw_begin_object(w);
        lathe_jsonw_kv_str(w, "file", f->path);
        lathe_jsonw_kv_str(w, "status", states[f->status]);
        lathe_jsonw_kv_str(w, "reason", f->reason);
        lathe_jsonw_end_object(w);
    }
    lathe_jsonw_end_array(w);
    lathe_jsonw_key(w, "notes");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; i < lathe_catalogue_note_count(c); i++)
        lathe_jsonw_str(w, lathe_catalogue_note_at(c, i));
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}
