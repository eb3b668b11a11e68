/* lathe/lathe.h: every header of the plugin ABI. */
#ifndef LATHE_H
#define LATHE_H

#include "abi.h"
#include "activation.h"
#include "component.h"
#include "dataset.h"
#include "drift.h"
#include "host.h"
#include "learner.h"
#include "loss.h"
#include "metric.h"
#include "optimizer.h"
#include "param.h"
#include "source.h"
#include "split.h"
#include "state.h"
#include "table.h"
#include "tensor.h"
#include "transform.h"

#endif
