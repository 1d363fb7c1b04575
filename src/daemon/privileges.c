#define _DEFAULT_SOURCE /* setgroups() */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

err_t
privileges_find(const char *name, struct privileges *ret, struct err_detail *d)
{
    struct passwd *pw;

    *ret = (struct privileges){ .change = false };
    if (getuid() != 0 && geteuid() != 0) {
        return ERR_OK;
    }
    if (name[0] == '\0') {
        return err_set(d, ERR_INVALID, "can't run as root without the -u switch");
    }
    pw = getpwnam(name);
    if (pw == NULL) {
        return err_set(d, ERR_UNKNOWN, "can't find the user %s to switch to", name);
    }
    *ret = (struct privileges){ .change = true, .uid = pw->pw_uid, .gid = pw->pw_gid };
    return ERR_OK;
}

err_t
privileges_drop(const struct privileges *p, struct err_detail *d)
{
    if (!p->change) {
        return ERR_OK;
    }
    /* EPERM: in a container without CAP_SETGID there are no groups to drop. */
    if (setgroups(0, NULL) < 0 && errno != EPERM) {
        return err_set(d, ERR_DENIED, "failed to drop supplementary groups: %s", strerror(errno));
    }
    if (setgid(p->gid) < 0 || setuid(p->uid) < 0) {
        return err_set(d, ERR_DENIED, "failed to assume the identity of user %u: %s",
                       (unsigned)p->uid, strerror(errno));
    }
    return ERR_OK;
}
