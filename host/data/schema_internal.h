/* data/schema_internal.h: the schema's inside, for schema.c and schema_recode.c alone. */
#ifndef LATHE_DATA_SCHEMA_INTERNAL_H
#define LATHE_DATA_SCHEMA_INTERNAL_H

#include "data/frame_internal.h"
#include "data/schema.h"

struct lathe_schema {
    lathe_column *columns;
    lathe_blob *
        *dicts;      /* [n_columns] of CATEGORY columns, shared with the frames that are recoded */
    int32_t **order; /* [n_columns] codes of a CATEGORY column sorted by their texts */
    lathe_table table;
};

#endif
