/*
 * limits.h - sizes that the protocols fix, shared by everyone who checks them.
 */
#pragma once

#define KEY_MAX          250         /* bytes of a key; of its base64 form too */
#define LINE_MAX_BYTES   2048        /* a text line without "\n" this long ends the connection */
#define GET_LINE_MAX     (16u << 20) /* ... but "get"/"gets" lines may be this long */
#define META_FLAGS_MAX   20          /* flag tokens of one meta command */
#define OPAQUE_MAX       31          /* bytes of a meta opaque, without its "O" */
#define VALUE_MAX        (1u << 30)  /* bytes; item_size_max may not exceed it */
#define EXPTIME_REL_MAX  (60 * 60 * 24 * 30) /* seconds; larger is a unix time */
#define BATCH_MAX        64          /* commands a session executes as one batch */
#define PROTO_HEAD_MAX   1024        /* bytes any reply needs before its value */
#define PROTO_TAIL_MAX   16          /* bytes any reply needs behind its value */

/* The memcached that clients may take us for; configure says which. */
#ifndef MEMCACHED_VERSION
#define MEMCACHED_VERSION "1.6.45"
#endif
