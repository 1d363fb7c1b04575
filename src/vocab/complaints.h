/*
 * complaints.h - memcached's words for command lines that it refuses.
 *
 * Operators search for them.  What memcached accepts, and what is only ours, has our own words:
 * settings.c.  Any thread.
 */
#pragma once
#include "base/err.h"
#include "base/slice.h"
#include "vocab/settings.h"

/* What is wrong with the value of a setting. */
enum complaint_about {
    COMPLAINT_MISSING,    /* there is none */
    COMPLAINT_UNREADABLE, /* it is not of the type */
    COMPLAINT_LOW,
    COMPLAINT_HIGH,
};

enum complaint {
#define SAID(id, text) COMPLAINT_##id,
#include "vocab/complaints.def"
    COMPLAINTS
};

/* Sets *d to what memcached says about the value, and leaves it alone if that is nothing. */
void complaint_value(struct err_detail *d, enum setting_id id, enum complaint_about about,
                     const char *value);
/* Sets *d to the complaint, with the texts in its gaps, which may be empty; returns e. */
err_t complaint_set(struct err_detail *d, err_t e, enum complaint c, struct slice first,
                    struct slice second);
