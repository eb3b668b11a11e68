/* data/baseline_internal.h: what baseline.c, baseline_json.c and window.c share. */
#ifndef LATHE_DATA_BASELINE_INTERNAL_H
#define LATHE_DATA_BASELINE_INTERNAL_H

#include "data/baseline.h"

/* Bins with their weights. Edges may belong to another grid. */
typedef struct bin_grid {
    int64_t n_bins;
    double *edges;  /* [n_bins - 1]; NULL if categorical */
    double *counts; /* [n_bins] */
    double *lower;  /* [n_bins]; NULL if categorical */
    double *upper;
} bin_grid;

typedef struct baseline_feature {
    char *name;
    bool categorical;
    double missing;
    bin_grid grid[2]; /* by resolution; a categorical one has the first only */
} baseline_feature;

struct lathe_baseline {
    int64_t n_rows;
    int64_t n_features;
    baseline_feature *features;
};

/* counts zero, lower and upper NaN; edges uninitialised. False: out of memory. */
bool grid_alloc(bin_grid *grid, int64_t n_bins, bool categorical, bool edges);
void grid_free(bin_grid *grid, bool edges);
void grid_clear(bin_grid *grid);
void grid_add_number(bin_grid *grid, double value);
void grid_view(const bin_grid *grid, bool categorical, double missing, lathe_distribution *out);

/* A baseline with room for `room` features and none yet. */
lathe_baseline *baseline_alloc(int64_t room);

#endif
