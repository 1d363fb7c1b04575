#include "node/route.h"

enum route
route_command(const struct node *n, const struct command *c)
{
    (void)n;
    (void)c;
    return ROUTE_HERE;
}
