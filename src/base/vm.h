/*
 * vm.h - address space apart from memory: reserve much, use what is needed, give it back.
 *
 * Ranges are widened to whole pages, but vm_discard(), vm_huge() and vm_small() narrow
 * them.  Any thread.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* Bytes of a page of the system. */
size_t vm_page_size(void);

/* Reserves address space that costs no memory and may not be touched; NULL if there is none. */
void *vm_reserve(size_t bytes);
/* Makes a part readable and writable, zero when first touched; false: no memory. */
MUST_CHECK bool vm_commit(void *ptr, size_t bytes);
/* Gives the memory of committed pages back; they stay usable and read as zero. */
void vm_discard(void *ptr, size_t bytes);
/* Ends a whole reservation.  NULL is a no-op. */
void vm_release(void *ptr, size_t bytes);
/* Asks for large pages; without effect where the system has none. */
void vm_huge(void *ptr, size_t bytes);
/* Takes that back: what was discarded here stays with the system. */
void vm_small(void *ptr, size_t bytes);
/* Takes the memory of committed pages now, not at the first write; false: refused. */
MUST_CHECK bool vm_populate(void *ptr, size_t bytes);
