/*
 * top_term.h - a terminal for a picture that is drawn again and again: the alternate screen, no
 * echo, no cursor; put back as it was at the end and on the signals that end a program.
 */
#ifndef CANP_TOOLS_TOP_TERM_H
#define CANP_TOOLS_TOP_TERM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

/* Takes the signals that end a program; with screen, the screen too. False: no screen was wanted or
 * standard output is no terminal, and nothing was changed there. */
bool canp_top_term_open(bool screen);
void canp_top_term_close(void);
/* Columns and rows now; 80 x 24 where nobody knows. */
void canp_top_term_size(unsigned *cols, unsigned *rows);
/* Draws lines over the old picture, cut to the screen. */
void canp_top_term_draw(const struct canp_strbuf *sb);
/* Waits up to ns; true: the user wants to leave (q, Ctrl-C, a signal, the terminal is gone). A
 * change of the window's size ends the wait early. */
bool canp_top_term_wait(uint64_t ns);

#endif
