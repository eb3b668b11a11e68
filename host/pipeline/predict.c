#include "pipeline/predict.h"

int32_t lathe_job_predict(lathe_job *job, const lathe_instance *learner, const lathe_dataset *data,
                          lathe_prediction *prediction, lathe_error *err) {
    lathe_tensor x;
    int32_t rc = lathe_datasets_service()->matrix(data, &x, err);
    if (rc != LATHE_OK)
        return rc;
    const float *matrix = (const float *)((const char *)x.data + x.byte_offset);
    return lathe_learner_predict(job->runtime, learner, job->task, job->n_classes, matrix,
                                 x.shape[0], x.strides[0], prediction, err);
}

int32_t lathe_job_predict_raw(lathe_job *job, const lathe_instance *learner, const lathe_frame *raw,
                              lathe_prediction *prediction, lathe_error *err) {
    lathe_frame *prepared = NULL;
    lathe_dataset *data = NULL;
    int32_t rc = lathe_chain_apply(job->chain, raw, &prepared, err);
    if (rc == LATHE_OK) {
        const lathe_dataset_source source = {.table = lathe_frame_table(prepared),
                                             .target_column = -1,
                                             .task = job->task,
                                             .n_classes = job->n_classes};
        rc = lathe_dataset_from_table(job->pool, &source, &data, err);
    }
    if (rc == LATHE_OK)
        rc = lathe_job_predict(job, learner, data, prediction, err);
    lathe_dataset_release(data);
    lathe_frame_free(prepared);
    return rc;
}
