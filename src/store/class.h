/*
 * class.h - the slab classes: which chunk sizes there are, and which one a size belongs to.
 *
 * The default table wastes little: steps of 8 bytes up to 160 and of 16 up to 256, then about
 * 11 %, each size such that a page divides into it without a rest.  The classic one is memcached's
 * (96, 120, 152 ... in 1 MiB pages), class ids included: what is put where is then told by
 * memcached's sums, not by what our items take, which is less.  A value, never changed once made.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Ids are 1..63, memcached's most, because tools walk them; 0 is the pool of spare pages. */
#define CLASS_MAX 63

struct class_table {
    uint32_t page_size;            /* bytes, a power of two */
    unsigned count;                /* ids 1..count */
    uint32_t chunk[CLASS_MAX + 1]; /* bytes, by id; multiples of 8 */
    uint32_t item_max; /* bytes: larger items are cut into pieces; classic: by memcached's sum */
    bool classic;                  /* memcached's table, and its sums */
    uint8_t by_size[4096 / 8 + 1]; /* id for sizes up to 4096, by (size + 7) / 8 */
};

/* What a table is to be. */
struct class_shape {
    uint32_t page_size;    /* bytes, a power of two, 64 KiB..1 MiB */
    double factor;         /* growth of chunk sizes; 0 and no sizes: the default table */
    uint32_t chunk_min;    /* bytes of key and value in the smallest chunk */
    uint32_t chunk_max;    /* the largest chunk, which a page divides into; 0: half a page */
    const uint32_t *sizes; /* instead of factor: all chunks but the largest, rising; lent */
    unsigned size_count;
};
void class_table_init(struct class_table *t, const struct class_shape *shape);

/* The smallest class whose chunks hold size bytes; 0 if there is none. */
uint8_t class_for(const struct class_table *t, uint32_t size);

/*
 * The class for the next piece of a value of which `left` bytes are still to be placed (piece
 * header not counted): the smallest one that takes all of it if little is wasted, else the largest
 * that is filled.
 */
uint8_t class_for_piece(const struct class_table *t, uint32_t left, uint32_t header);

#define CLASSIC_PIECE_HEADER 48u /* of memcached's pieces; ours is shorter */
#define CLASSIC_CHUNK_MAX    (512u << 10) /* bytes: memcached's largest chunk by default */

/* The same with a classic table: the largest, or for the end of the value, "\r\n" counted, one
 * that it fits into. */
uint8_t class_for_classic_piece(const struct class_table *t, uint32_t left);
