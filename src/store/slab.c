#include "store/slab.h"

#include "base/vm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Memory is made writable in steps of a huge page, so that the kernel can use one. */
#define COMMIT_STEP ((size_t)2 << 20)
#define TABLE_SHARE 20 /* see slab_used() */

err_t
slab_init(struct slab *s, const struct class_table *table, size_t reserve, size_t limit,
          _Atomic size_t *table_bytes, struct err_detail *d)
{
    memset(s, 0, sizeof *s);
    s->table = *table;
    s->page_shift = (unsigned)__builtin_ctz(table->page_size);
    s->reserved = (reserve + COMMIT_STEP - 1) & ~(COMMIT_STEP - 1);
    s->base = vm_reserve(s->reserved);
    if (s->base == NULL) {
        return err_set(d, ERR_NOMEM, "cannot reserve %zu MiB of address space", s->reserved >> 20);
    }
    vm_huge(s->base, s->reserved);
    s->page_max = (uint32_t)(s->reserved >> s->page_shift);
    s->pages = vm_reserve(s->page_max * sizeof *s->pages);
    if (s->pages == NULL || !vm_commit(s->pages, s->page_max * sizeof *s->pages)) {
        return err_set(d, ERR_NOMEM, "cannot reserve the page table of %u pages", s->page_max);
    }
    s->fresh = 1; /* page 0 is never used: handle 0 means none */
    s->spare = s->gone = SLAB_NO_PAGE;
    s->table_bytes = table_bytes;
    atomic_init(&s->limit, limit);
    for (unsigned id = 1; id <= table->count; id++) {
        struct slab_class *c = &s->classes[id];
        c->id = (uint8_t)id;
        c->chunk = table->chunk[id];
        c->per_page = table->page_size / c->chunk;
        c->partial = SLAB_NO_PAGE;
        assert(c->per_page < UINT16_MAX);
    }
    return ERR_OK;
}

err_t
slab_preallocate(struct slab *s, struct err_detail *d)
{
    size_t limit = atomic_load_explicit(&s->limit, memory_order_relaxed);
    size_t bytes = (limit + COMMIT_STEP - 1) & ~(COMMIT_STEP - 1);

    if (!vm_commit(s->base, bytes) || !vm_populate(s->base, bytes)) {
        return err_set(d, ERR_NOMEM, "cannot take %zu MiB of memory now", bytes >> 20);
    }
    s->committed = (uint32_t)(bytes >> s->page_shift);
    return ERR_OK;
}

void
slab_fini(struct slab *s)
{
    for (unsigned id = 1; id <= s->table.count; id++) {
        free(s->classes[id].pages);
        free(s->classes[id].ring);
    }
    if (s->pages != NULL) {
        vm_release(s->pages, s->page_max * sizeof *s->pages);
    }
    if (s->base != NULL) {
        vm_release(s->base, s->reserved);
    }
    s->pages = NULL;
    s->base = NULL;
}

/* Bytes of so many pages. */
static size_t
pages_bytes(const struct slab *s, const _Atomic uint32_t *pages)
{
    return (size_t)atomic_load_explicit(pages, memory_order_relaxed) << s->page_shift;
}

/*
 * What counts of a limit.  memcached's does not know of its hash table at all; ours is free of
 * charge up to a twentieth of the limit, and with a classic table of classes altogether.
 */
static size_t
slab_used(const struct slab *s, size_t limit)
{
    size_t table = atomic_load_explicit(s->table_bytes, memory_order_relaxed);
    bool is_free = s->table.classic || table <= limit / TABLE_SHARE;

    return pages_bytes(s, &s->in_classes) + pages_bytes(s, &s->spare_count) +
           (is_free ? 0 : table - limit / TABLE_SHARE);
}

static size_t
slab_limit(const struct slab *s)
{
    return atomic_load_explicit(&s->limit, memory_order_relaxed);
}

bool
slab_is_over(const struct slab *s)
{
    size_t limit = slab_limit(s);

    return slab_used(s, limit) > limit + pages_bytes(s, &s->granted);
}

/* One that is not in the pool. */
static bool
slab_may_grow(const struct slab *s)
{
    size_t limit = slab_limit(s);

    return slab_used(s, limit) + ((size_t)1 << s->page_shift) <= limit;
}

bool
slab_has_room(const struct slab *s)
{
    return slab_may_grow(s) ||
           (atomic_load_explicit(&s->spare_count, memory_order_relaxed) > 0 && !slab_is_over(s));
}

/*
 * Where large pages are asked for, the kernel makes one of what is left of a discarded range, and
 * the memory is back within a minute (29 MiB became 63 after -m 256 was lowered to 16).  So none
 * are asked for from the first page that leaves until the limit is as high again as memory ever
 * was.
 */
static void
arena_set_small(struct slab *s, bool small)
{
    if (atomic_exchange_explicit(&s->small_pages, small, memory_order_relaxed) != small) {
        (small ? vm_small : vm_huge)(s->base, s->reserved);
    }
}

void
slab_set_limit(struct slab *s, size_t bytes)
{
    spin_lock(&s->lock);
    size_t used = slab_used(s, bytes), page = (size_t)1 << s->page_shift;
    uint32_t beyond = used > bytes ? (uint32_t)((used - bytes + page - 1) >> s->page_shift) : 0;

    atomic_store_explicit(&s->limit, bytes, memory_order_relaxed);
    if (beyond < atomic_load_explicit(&s->granted, memory_order_relaxed)) {
        atomic_store_explicit(&s->granted, beyond, memory_order_relaxed);
    }
    if (slab_has_room(s)) {
        atomic_store_explicit(&s->full, false, memory_order_relaxed);
    }
    bool whole = bytes >= (size_t)s->committed << s->page_shift;
    spin_unlock(&s->lock);
    if (whole) {
        arena_set_small(s, false);
    }
}

static bool
page_commit(struct slab *s, uint32_t page)
{
    while (page >= s->committed) {
        char *at = slab_page_start(s, s->committed);
        if (!vm_commit(at, COMMIT_STEP)) {
            return false;
        }
        s->committed += (uint32_t)(COMMIT_STEP >> s->page_shift);
    }
    return true;
}

/* Pool locked: the only writers. */
static void
count_add(_Atomic uint32_t *count, int n)
{
    uint32_t v = atomic_load_explicit(count, memory_order_relaxed);

    assert(n > 0 || v > 0);
    atomic_store_explicit(count, v + (uint32_t)n, memory_order_relaxed);
}

static uint32_t
list_take(struct slab *s, uint32_t *list)
{
    uint32_t page = *list;

    if (page != SLAB_NO_PAGE) {
        *list = s->pages[page].next;
    }
    return page;
}

static void
list_give(struct slab *s, uint32_t *list, uint32_t page)
{
    s->pages[page].next = *list;
    *list = page;
}

/* A page that is not in the pool: one that the system has again, or one that was never used. */
static uint32_t
page_fetch(struct slab *s)
{
    if (s->gone != SLAB_NO_PAGE) {
        return list_take(s, &s->gone);
    }
    return s->fresh < s->page_max && page_commit(s, s->fresh) ? s->fresh++ : SLAB_NO_PAGE;
}

/* A page from the pool, or SLAB_NO_PAGE.  grant: one must be had, whatever the limit. */
static uint32_t
pool_take(struct slab *s, bool grant)
{
    uint32_t page = SLAB_NO_PAGE;

    spin_lock(&s->lock);
    if (s->spare != SLAB_NO_PAGE && !slab_is_over(s)) {
        page = list_take(s, &s->spare);
        count_add(&s->spare_count, -1);
    } else if (slab_may_grow(s)) {
        page = page_fetch(s);
    } else if (grant) {
        page = page_fetch(s);
        if (page != SLAB_NO_PAGE) {
            count_add(&s->granted, 1);
        }
    }
    if (page != SLAB_NO_PAGE) {
        count_add(&s->in_classes, 1);
    } else {
        atomic_store_explicit(&s->full, true, memory_order_relaxed);
    }
    spin_unlock(&s->lock);
    return page;
}

/* Takes a page of the pool whose memory is too much; SLAB_NO_PAGE: there is none, or it is not. */
static uint32_t
pool_excess(struct slab *s)
{
    uint32_t page = SLAB_NO_PAGE;

    spin_lock(&s->lock);
    bool granted = atomic_load_explicit(&s->granted, memory_order_relaxed) > 0;
    bool above = slab_used(s, slab_limit(s)) > slab_limit(s);
    if (above && s->spare != SLAB_NO_PAGE) {
        page = list_take(s, &s->spare);
        count_add(&s->spare_count, -1);
        if (granted) {
            count_add(&s->granted, -1);
        }
    }
    spin_unlock(&s->lock);
    return page;
}

void
slab_trim(struct slab *s)
{
    for (uint32_t page; (page = pool_excess(s)) != SLAB_NO_PAGE;) {
        arena_set_small(s, true);
        vm_discard(slab_page_start(s, page), (size_t)1 << s->page_shift);
        spin_lock(&s->lock);
        list_give(s, &s->gone, page);
        spin_unlock(&s->lock);
    }
}

static void
pool_give(struct slab *s, uint32_t page)
{
    spin_lock(&s->lock);
    list_give(s, &s->spare, page);
    count_add(&s->spare_count, 1);
    count_add(&s->in_classes, -1);
    if (slab_has_room(s)) {
        atomic_store_explicit(&s->full, false, memory_order_relaxed);
    }
    spin_unlock(&s->lock);
}

static struct item *
page_chunk(const struct slab *s, uint32_t page, uint32_t chunk_size, uint32_t number)
{
    return (struct item *)(void *)(slab_page_start(s, page) + (size_t)number * chunk_size);
}

static void
partial_link(struct slab *s, struct slab_class *c, uint32_t page)
{
    struct page *p = &s->pages[page];

    assert(!p->listed);
    p->listed = true;
    p->prev = SLAB_NO_PAGE;
    p->next = c->partial;
    if (c->partial != SLAB_NO_PAGE) {
        s->pages[c->partial].prev = page;
    }
    c->partial = page;
}

static void
partial_unlink(struct slab *s, struct slab_class *c, uint32_t page)
{
    struct page *p = &s->pages[page];

    assert(p->listed);
    p->listed = false;
    if (p->prev != SLAB_NO_PAGE) {
        s->pages[p->prev].next = p->next;
    } else {
        c->partial = p->next;
    }
    if (p->next != SLAB_NO_PAGE) {
        s->pages[p->next].prev = p->prev;
    }
}

void
slab_wipe(struct item *chunk)
{
    item_set_meta(chunk, 0);
}

static void
page_carve(struct slab *s, struct slab_class *c, uint32_t page)
{
    struct page *p = &s->pages[page];

    atomic_store_explicit(&p->class_id, c->id, memory_order_relaxed);
    atomic_store_explicit(&p->state, PAGE_IN_CLASS, memory_order_relaxed);
    p->listed = false;
    p->free_head = 0;
    p->free_count = (uint16_t)c->per_page;
    atomic_thread_fence(memory_order_release); /* as in chunk_take_free() */
    for (uint32_t i = c->per_page; i-- > 0;) {
        struct item *chunk = page_chunk(s, page, c->chunk, i);
        slab_wipe(chunk);
        item_store_version(chunk, p->free_head);
        p->free_head = (uint16_t)(i + 1);
    }
}

/*
 * Makes room for one more in pages[], by doubling; false without memory.  Keeps the places of
 * draining pages, so that giving one back cannot fail.  Class locked.
 */
static bool
class_reserve(struct slab_class *c)
{
    if (c->page_count + c->draining < c->page_cap) {
        return true;
    }
    uint32_t cap = c->page_cap != 0 ? c->page_cap * 2 : 16;
    uint32_t *pages = realloc(c->pages, cap * sizeof *pages);
    if (pages == NULL) {
        return false;
    }
    c->pages = pages;
    c->page_cap = cap;
    return true;
}

/* There is room in pages[]. Class locked. */
static void
class_attach_locked(struct slab *s, struct slab_class *c, uint32_t page)
{
    page_carve(s, c, page);
    s->pages[page].slot = c->page_count;
    c->pages[c->page_count++] = page;
    c->free_chunks += c->per_page;
    partial_link(s, c, page);
}

static bool
class_add_page_locked(struct slab *s, struct slab_class *c)
{
    if (!class_reserve(c)) {
        return false;
    }
    /* memcached's classes are never without a page, and neither are those that are like them. */
    uint32_t page = pool_take(s, s->table.classic && c->page_count + c->draining == 0);
    if (page == SLAB_NO_PAGE) {
        return false;
    }
    class_attach_locked(s, c, page);
    return true;
}

unsigned
slab_take(struct slab *s, uint8_t class_id, struct item **ret, unsigned max, bool grow)
{
    struct slab_class *c = &s->classes[class_id];
    unsigned n = 0;

    spin_lock(&c->lock);
    if (c->partial == SLAB_NO_PAGE && grow) {
        (void)class_add_page_locked(s, c);
    }
    while (n < max && c->partial != SLAB_NO_PAGE) {
        uint32_t page = c->partial;
        struct page *p = &s->pages[page];
        assert(p->free_head != 0 && p->free_count > 0);
        struct item *chunk = page_chunk(s, page, c->chunk, p->free_head - 1u);
        p->free_head = (uint16_t)item_load_version(chunk);
        p->free_count--;
        c->free_chunks--;
        if (p->free_head == 0) {
            partial_unlink(s, c, page);
        }
        ret[n++] = chunk;
    }
    spin_unlock(&c->lock);
    return n;
}

void
slab_give_locked(struct slab *s, struct slab_class *c, struct item *chunk)
{
    uint32_t page = slab_page_of(s, chunk);
    struct page *p = &s->pages[page];
    uint32_t number = (uint32_t)((char *)chunk - slab_page_start(s, page)) / c->chunk;

    assert(meta_kind(item_meta(chunk)) == ITEM_FREE);
    assert(p->free_count < c->per_page && number < c->per_page);
    item_store_version(chunk, p->free_head);
    p->free_head = (uint16_t)(number + 1);
    p->free_count++;
    if (atomic_load_explicit(&p->state, memory_order_relaxed) == PAGE_IN_CLASS) {
        c->free_chunks++;
        if (!p->listed) {
            partial_link(s, c, page);
        }
    }
}

void
slab_give(struct slab *s, struct item *chunk)
{
    struct slab_class *c = &s->classes[slab_class_of(s, chunk)];

    spin_lock(&c->lock);
    slab_give_locked(s, c, chunk);
    spin_unlock(&c->lock);
}

void
slab_page_drain_locked(struct slab *s, struct slab_class *c, uint32_t page)
{
    struct page *p = &s->pages[page];

    assert(atomic_load_explicit(&p->state, memory_order_relaxed) == PAGE_IN_CLASS);
    atomic_store_explicit(&p->state, PAGE_DRAINING, memory_order_relaxed);
    if (p->listed) {
        partial_unlink(s, c, page);
    }
    assert(c->page_count > 0 && c->free_chunks >= p->free_count);
    c->free_chunks -= p->free_count;
    c->draining++;
    uint32_t last = c->pages[--c->page_count];
    c->pages[p->slot] = last;
    s->pages[last].slot = p->slot;
}

void
slab_page_restore_locked(struct slab *s, struct slab_class *c, uint32_t page)
{
    struct page *p = &s->pages[page];

    assert(c->draining > 0 && c->page_count < c->page_cap);
    c->draining--;
    atomic_store_explicit(&p->state, PAGE_IN_CLASS, memory_order_relaxed);
    p->slot = c->page_count;
    c->pages[c->page_count++] = page;
    c->free_chunks += p->free_count;
    if (p->free_count > 0) {
        partial_link(s, c, page);
    }
}

/* Ends the draining of an empty page. */
static void
page_leave(struct slab *s, uint32_t page)
{
    struct page *p = &s->pages[page];
    struct slab_class *c = &s->classes[p->class_id];

    assert(atomic_load_explicit(&p->state, memory_order_relaxed) == PAGE_DRAINING);
    spin_lock(&c->lock);
    assert(p->free_count == c->per_page && c->draining > 0);
    c->draining--;
    spin_unlock(&c->lock);
    atomic_store_explicit(&p->state, PAGE_SPARE, memory_order_relaxed);
}

void
slab_page_put(struct slab *s, uint32_t page)
{
    page_leave(s, page);
    pool_give(s, page);
}

bool
slab_page_grant(struct slab *s, struct slab_class *to)
{
    spin_lock(&to->lock);
    bool ok = atomic_load_explicit(&s->spare_count, memory_order_relaxed) > 0 &&
              class_add_page_locked(s, to);
    spin_unlock(&to->lock);
    return ok;
}

bool
slab_page_pass(struct slab *s, uint32_t page, struct slab_class *to)
{
    page_leave(s, page);
    spin_lock(&to->lock);
    bool ok = class_reserve(to);
    if (ok) {
        class_attach_locked(s, to, page);
    }
    spin_unlock(&to->lock);
    if (!ok) {
        pool_give(s, page);
    }
    return ok;
}
