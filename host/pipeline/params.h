/* pipeline/params.h: `${name}` in a pipeline document.
 *
 * A string that is exactly "${trees}" is replaced by the parameter's value with its type; inside a longer string
 * a number, string or bool is written into the text. "$${" stands for a literal "${". Values come from the
 * document's own "params" object, overridden by assignments "name=value" (value read as JSON, else taken as a
 * string). Every fault is a diagnostic: an unknown name, an object inside a text, a parameter that nothing uses
 * and the document does not declare.
 */
#ifndef LATHE_PIPELINE_PARAMS_H
#define LATHE_PIPELINE_PARAMS_H

#include "base/json.h"

/* Substitutes in place, everywhere but in "params" itself. sets: n_sets texts "name=value". [any] */
void lathe_params_apply(lathe_json *doc, const char *const *sets, size_t n_sets,
                        lathe_diags *diags);

#endif
