/*
 * main.c - magpied, the node.
 */
#include "config.h"

#include "base/log.h"
#include "base/panic.h"
#include "daemon/boot.h"
#include "daemon/options.h"

#include <stdlib.h>
#include <sysexits.h>

int
main(int argc, char **argv)
{
    static struct settings settings; /* outlives every thread */

    log_set_program("magpied");
    panic_install("magpied " MAGPIE_VERSION);
    switch (options_read(&settings, argc, argv)) {
    case OPTIONS_RUN:
        return boot_run(&settings);
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_BAD:
        break;
    }
    return EX_USAGE;
}
