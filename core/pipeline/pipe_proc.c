#include "core/pipeline/pipe_priv.h"
const struct pipe_driver canp_pipe_procs;
