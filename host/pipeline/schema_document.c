#include "pipeline/schema_document.h"

#include "base/jsonw.h"
#include "plugin/describe.h"

/* The document's own keys. "${name}" may stand for any value, so every leaf also takes such a text. */
static const char stages[] =
    "\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"lathe\",\"name\",\"goal\",\"prepare\",\"train\"],"
    "\"properties\":{"
    "\"$schema\":{\"type\":\"string\"},"
    "\"lathe\":{\"const\":1,\"description\":\"Version of the document's format.\"},"
    "\"name\":{\"$ref\":\"#/$defs/name\",\"description\":\"Name of the pipeline, and of its "
    "model.\"},"
    "\"description\":{\"type\":\"string\"},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"default\":0,\"description\":\"Key of every "
    "random number.\"},"
    "\"params\":{\"type\":\"object\",\"description\":\"Values for ${name}; --set name=value "
    "overrides.\"},"
    "\"goal\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"task\","
    "\"target\"],"
    "\"properties\":{"
    "\"task\":{\"enum\":[\"classification\",\"regression\"]},"
    "\"target\":{\"type\":\"string\",\"description\":\"Column to predict.\"},"
    "\"positive\":{\"type\":\"string\",\"description\":\"The class that metrics call positive; the "
    "last by its "
    "bytes by default.\"},"
    "\"metric\":{\"$ref\":\"#/$defs/metric\",\"description\":\"Selects the candidate.\"},"
    "\"metrics\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
    "metric\"},\"description\":\"Reported "
    "too.\"},"
    "\"require\":{\"type\":\"object\",\"description\":\"What must hold before anything is "
    "deployed: metrics, "
    "latency_p50_ms, latency_p99_ms, model_mb, "
    "train_seconds.\",\"additionalProperties\":{\"type\":\"string\","
    "\"pattern\":\"^ *(>=|<=|==|>|<) *[-+0-9.eE]+ *$|\\\\$\\\\{\"}},"
    "\"class_weight\":{\"anyOf\":[{\"const\":\"balanced\"},{\"type\":\"object\","
    "\"additionalProperties\":{"
    "\"type\":\"number\",\"minimum\":0}}]},"
    "\"weight\":{\"type\":\"string\",\"description\":\"Column of row weights; it is no "
    "feature.\"}}},"
    "\"prepare\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"source\"],"
    "\"properties\":{"
    "\"source\":{\"$ref\":\"#/$defs/source\"},"
    "\"transforms\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/transform\"}},"
    "\"split\":{\"$ref\":\"#/$defs/split\"},"
    "\"profile\":{\"type\":\"boolean\",\"default\":true}}},"
    "\"train\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"candidates\"],"
    "\"properties\":{\"candidates\":{\"type\":\"object\",\"minProperties\":1,"
    "\"propertyNames\":{\"$ref\":\"#/$defs/name\"},"
    "\"additionalProperties\":{\"$ref\":\"#/$defs/learner\"}}}},"
    "\"deploy\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"endpoint\":{\"$ref\":\"#/$defs/name\"},\"model\":{\"$ref\":\"#/$defs/name\"},"
    "\"when\":{\"enum\":[\"goal_met\",\"always\",\"never\"],\"default\":\"goal_met\"},"
    "\"validation\":{\"description\":\"Of rows that are asked about, against the training's "
    "profile: what "
    "each rule does.\",\"anyOf\":[{\"$ref\":\"#/$defs/rule_action\"},{\"type\":\"object\","
    "\"additionalProperties\":false,\"properties\":{"
    "\"type\":{\"$ref\":\"#/$defs/rule_action\"},\"range\":{\"$ref\":\"#/$defs/rule_action\"},"
    "\"domain\":{\"$ref\":\"#/$defs/rule_action\"},\"nulls\":{\"$ref\":\"#/$defs/rule_action\"},"
    "\"margin\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1000000,\"default\":0},"
    "\"statistics\":{\"type\":\"boolean\",\"default\":true},"
    "\"columns\":{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"$ref\":"
    "\"#/$defs/rule_action\"},{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"type\":{\"$ref\":\"#/$defs/rule_action\"},\"range\":{\"$ref\":\"#/$defs/rule_action\"},"
    "\"domain\":{\"$ref\":\"#/$defs/rule_action\"},\"nulls\":{\"$ref\":\"#/$defs/rule_action\"},"
    "\"margin\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1000000},"
    "\"min\":{\"type\":\"number\"},\"max\":{\"type\":\"number\"}}}]}}}}]}}},"
    "\"monitor\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"drift\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/drift\"}},"
    "\"replay\":{\"$ref\":\"#/$defs/source\",\"description\":\"Later data, streamed through the "
    "deployed "
    "model.\"},"
    "\"window\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000000,\"default\":1000,"
    "\"description\":"
    "\"Rows of one window.\"},"
    "\"window_seconds\":{\"type\":\"number\",\"minimum\":1,\"maximum\":31536000,"
    "\"default\":3600,\"description\":\"A window of served rows is closed after this time, "
    "too, once it has min_rows.\"},"
    "\"min_rows\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000000,"
    "\"default\":200,\"description\":\"Served values of a feature below which nothing is "
    "alerted.\"},"
    "\"alert_after\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,"
    "\"default\":2,\"description\":\"Served windows in a row that raise an alert, and that "
    "end it.\"},"
    "\"quality_drop\":{\"type\":\"number\",\"minimum\":0,\"description\":\"Alert where the goal's "
    "metric is worse "
    "than at deployment by more.\"}}},"
    "\"retry\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"limit\"],"
    "\"description\":\"For a service: a run that failed is tried again.\",\"properties\":{"
    "\"limit\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100},"
    "\"backoff_s\":{\"type\":\"number\",\"minimum\":0,\"maximum\":86400,\"default\":10},"
    "\"factor\":{\"type\":\"number\",\"minimum\":1,\"maximum\":100,\"default\":2}}},"
    "\"schedule\":{\"description\":\"For a service: when it runs, as a cron "
    "expression.\",\"anyOf\":["
    "{\"type\":\"string\"},{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"cron\"],\"properties\":{\"cron\":{\"type\":\"string\"},"
    "\"timezone\":{\"type\":\"string\",\"default\":\"UTC\"},"
    "\"overlap\":{\"enum\":[\"skip\",\"queue\",\"cancel\"],\"default\":\"skip\"},"
    "\"missed\":{\"enum\":[\"once\",\"skip\"],\"default\":\"once\"}}}]}}";

static const char action_schema[] = "{\"enum\":[\"pass\",\"flag\",\"reject\"]}";

static const char name_schema[] =
    "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$|\\\\$\\\\{\"}";

void lathe_schema_document(const lathe_catalogue *catalogue, lathe_buf *out) {
    lathe_buf defs = {0};
    lathe_jsonw w = lathe_jsonw_to(&defs);
    lathe_describe_schema_defs(catalogue, true, &w);
    lathe_buf_append_str(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",");
    lathe_buf_append_str(out, "\"title\":\"Lathe pipeline\",");
    lathe_buf_append_str(out, stages);
    lathe_buf_append_str(out, ",\"$defs\":{\"name\":");
    lathe_buf_append_str(out, name_schema);
    lathe_buf_append_str(out, ",\"rule_action\":");
    lathe_buf_append_str(out, action_schema);
    if (defs.len > 2 && defs.data[0] == '{') { /* the members of that object join ours */
        lathe_buf_append_char(out, ',');
        lathe_buf_append(out, defs.data + 1, defs.len - 2);
    }
    lathe_buf_append_str(out, "}}");
    lathe_buf_free(&defs);
}
