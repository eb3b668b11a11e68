/* mcc.c: Matthews' correlation coefficient, for k classes Gorodkin's R_K.
 *
 *     (c·s − Σ pₖ·tₖ) / √((s² − Σ pₖ²)·(s² − Σ tₖ²))
 *
 * with c the weight predicted right, s the total, tₖ and pₖ the weights of class k among targets and predictions.
 * B. W. Matthews, Biochim. Biophys. Acta 405, 1975; J. Gorodkin, Comput. Biol. Chem. 28, 2004. 0 where a side has
 * one class alone.
 */
#include "confusion.h"

static int32_t mcc_compute(const void *self, const lathe_metric_input *in, double *value,
                           lathe_error *err) {
    confusion c;
    int32_t rc = confusion_make(self, in, &c, err);
    double tp = 0, tt = 0, pp = 0, t_most = 0, p_most = 0;
    for (int64_t k = 0; k < c.n_classes && rc == LATHE_OK; k++) {
        tp += c.actual[k] * c.guessed[k];
        tt += c.actual[k] * c.actual[k];
        pp += c.guessed[k] * c.guessed[k];
        t_most = c.actual[k] > t_most ? c.actual[k] : t_most;
        p_most = c.guessed[k] > p_most ? c.guessed[k] : p_most;
    }
    if (rc == LATHE_OK) {
        double square = c.total * c.total;
        double t_spread = square - tt, p_spread = square - pp;
        /* One class alone: rounding must not make a spread of what has none. */
        if (t_most == c.total || p_most == c.total || t_spread <= 0 || p_spread <= 0)
            *value = 0;
        else
            *value = (c.all_right * c.total - tp) / sqrt(t_spread * p_spread);
    }
    confusion_free(self, &c);
    return rc;
}

static const lathe_metric mcc_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                           .compute = mcc_compute};

METRIC_DESCRIPTOR(mcc, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION, mcc_interface,
                  "Correlation of predicted and true classes, -1 to 1; 0 is guessing.");

LATHE_PLUGIN(&mcc_descriptor)
