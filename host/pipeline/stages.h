/* pipeline/stages.h: one reader a stage of the document; each notes its faults and goes on. [any] */
#ifndef LATHE_PIPELINE_STAGES_H
#define LATHE_PIPELINE_STAGES_H

#include "pipeline/check.h"
#include "pipeline/document.h"

/* Reads goal.task alone: other stages' defaults depend on it. */
void lathe_stage_goal_kind(const lathe_check *c, lathe_pipeline *p, const cJSON *root);
void lathe_stage_goal(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                      const cJSON *root);
void lathe_stage_prepare(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                         const cJSON *root);
void lathe_stage_train(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                       const cJSON *root);
void lathe_stage_deploy(const lathe_check *c, lathe_pipeline *p, const cJSON *root);
void lathe_stage_monitor(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                         const cJSON *root);

#endif
