/*
 * md5.h - MD5 by libcrypto, for rings that clients compute as well.  Not for anything secret.
 *
 * Keeps no state; any thread.
 */
#pragma once
#include "base/slice.h"
#include <stdint.h>

#define MD5_BYTES 16

void md5_bytes(struct slice in, uint8_t ret[MD5_BYTES]);
