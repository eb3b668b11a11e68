/* pipeline/schema_document.h: the JSON Schema of the pipeline document, so that an editor completes and checks it. */
#ifndef LATHE_PIPELINE_SCHEMA_DOCUMENT_H
#define LATHE_PIPELINE_SCHEMA_DOCUMENT_H

#include "base/buf.h"
#include "plugin/catalogue.h"

/* Draft 2020-12; the plugins' part comes from their parameter tables. [any] */
void lathe_schema_document(const lathe_catalogue *catalogue, lathe_buf *out);

#endif
