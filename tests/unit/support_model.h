/* support_model.h: fitted models for tests of what uses them: trained by the program itself, once a document, in a
 * folder that goes at exit. */
#ifndef LATHE_TEST_SUPPORT_MODEL_H
#define LATHE_TEST_SUPPORT_MODEL_H

#include "model/model.h"
#include "plugin_fixture.h"

/* Trains `document` (JSON, with absolute paths) and opens the model. */
lathe_model *model_train(fixture *f, const char *document);

/* The rows of a CSV file as a source gives them; at most `limit`. Keep the instance until the end. */
typedef struct model_rows {
    lathe_instance source;
    void *stream;
    lathe_table table;
} model_rows;
void model_rows_open(fixture *f, const char *csv, int64_t limit, model_rows *rows);
void model_rows_close(model_rows *rows);

/* Of penguins (multi-class, categories, missing values, one-hot), adult (binary, gbdt), bike sharing (regression,
 * dates): documents for model_train. */
extern const char *const model_penguins, *const model_adult, *const model_bikes;

/* Heap allocations of the process so far, in all threads. */
long heap_count(void);

#endif
