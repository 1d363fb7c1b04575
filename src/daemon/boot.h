/*
 * boot.h - from settings to a running node and back: everything is built here, once, in order.
 *
 * Main thread.
 */
#pragma once
#include "vocab/settings.h"

/*
 * Builds the node, serves until a signal or a command ends it, and takes everything
 * down.  Keeps settings.  Returns the exit code of the process; prints its own messages.
 */
int boot_run(struct settings *settings);
