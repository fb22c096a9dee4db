/*
 * canp.h - everything libcanp offers a program, in C and C++:
 *
 *   memory     tiered pool of reference-counted blocks; caches   numa/mem.h, numa/cache.h, ..
 *   tasks      typed, prioritised tasks and their futures        core/runtime/task.h
 *   pipelines  items through a DAG, results in order             core/pipeline/pipeline.h
 *   processes  functions in worker processes that may crash      core/process/process.h
 *   commands   many external commands, a bounded queue           core/command/command_pool.h
 *   events     one emitter, many listeners, nobody waits         core/observe/event.h
 *   monitor    CPU, memory and I/O of the process tree           core/observe/monitor.h
 *   metrics    text for Prometheus and OpenMetrics               core/observe/metrics.h
 *   traces     spans for Perfetto and OpenTelemetry              core/observe/trace.h
 *   options    configuration from files and the environment      io/libconfig.h
 *   plugins    operators inside canp-appliance                   io/plugin.h
 *
 * core/process/process_pool.h has the process pool under the names of its source document; it is
 * not included here, for these names have no prefix.
 *
 * Programs of tools/examples show each part at work; each header documents its functions. Compile
 * and link with what `pkg-config --cflags --libs canp` says.
 *
 * Rules that hold everywhere: functions return 0 or a negative errno (text: canp_strerror()), an
 * output argument is untouched on failure; a zeroed option means its default; times are
 * nanoseconds of CLOCK_MONOTONIC; nothing here exits the process, and only a broken contract (a
 * pool destroyed with live blocks) aborts it.
 */
#ifndef CANP_H
#define CANP_H

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/evring.h"
#include "core/base/hist.h"
#include "core/base/spsc.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "core/command/command_pool.h"
#include "core/observe/event.h"
#include "core/observe/metrics.h"
#include "core/observe/monitor.h"
#include "core/observe/trace.h"
#include "core/pipeline/pipeline.h"
#include "core/process/process.h"
#include "core/runtime/task.h"
#include "io/libconfig.h"
#include "io/plugin.h"
#include "io/source/mmapcache.h"
#include "numa/blockcache.h"
#include "numa/cache.h"
#include "numa/mem.h"

#endif
