/*
 * notes.h - what happens in the cluster, as lines of the log.
 *
 * Main thread.
 */
#pragma once
#include "node/control.h"

/* One line for a note of control, or none. */
void notes_log(const struct control *c, const struct control_note *n);
