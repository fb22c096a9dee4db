/*
 * top_view.h - a job's snapshot as lines of text. Knows nothing of terminals: the lines are plain,
 * at most `width` characters each.
 */
#ifndef CANP_TOOLS_TOP_VIEW_H
#define CANP_TOOLS_TOP_VIEW_H

#include "core/base/strbuf.h"
#include "io/live.h"

/* Appends the view of one job. before: an older snapshot of the same job, for rates between the
 * two; NULL: rates are means since the start. alive: its process is there. */
void canp_top_view(struct canp_strbuf *sb, const struct canp_live *l,
		   const struct canp_live *before, bool alive, unsigned width);

#endif
