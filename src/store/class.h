/*
 * class.h - the slab classes: which chunk sizes there are, and which one a size belongs to.
 *
 * The default table wastes little: steps of 8 bytes up to 160, then about 11 %, each size such
 * that a page divides into it without a rest.  A given factor makes memcached's table instead (96,
 * 120, 152 ... in 1 MiB pages), class ids included.  A value, never changed once made.
 */
#pragma once
#include <stdint.h>

/* Ids are 1..63, memcached's most, because tools walk them; 0 is the pool of spare pages. */
#define CLASS_MAX 63

struct class_table {
    uint32_t page_size;            /* bytes, a power of two */
    unsigned count;                /* ids 1..count */
    uint32_t chunk[CLASS_MAX + 1]; /* bytes, by id; multiples of 8 */
    uint32_t item_max;             /* bytes: larger items are cut into pieces */
    uint8_t by_size[4096 / 8 + 1]; /* id for sizes up to 4096, by (size + 7) / 8 */
};

/* factor 0: the default table, chunk_min is ignored. */
void class_table_init(struct class_table *t, uint32_t page_size, double factor, uint32_t chunk_min);

/* The smallest class whose chunks hold size bytes; 0 if there is none. */
uint8_t class_for(const struct class_table *t, uint32_t size);

/*
 * The class for the next piece of a value of which `left` bytes are still to be placed (piece
 * header not counted): the smallest one that takes all of it if little is wasted, else the largest
 * that is filled.
 */
uint8_t class_for_piece(const struct class_table *t, uint32_t left, uint32_t header);
