#include "base/vm.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

size_t
vm_page_size(void)
{
    long size = sysconf(_SC_PAGESIZE);

    assert(size > 0);
    return (size_t)size;
}

/* The whole pages that cover a range. */
static void
range_widen(void **ptr, size_t *bytes)
{
    size_t    mask = vm_page_size() - 1;
    uintptr_t start = (uintptr_t)*ptr;
    size_t    before = start & mask;

    *ptr = (char *)*ptr - before;
    *bytes = (*bytes + before + mask) & ~mask;
}

/* The whole pages that lie inside a range; the neighbours of the rest keep their bytes. */
static void
range_narrow(void **ptr, size_t *bytes)
{
    size_t mask = vm_page_size() - 1;
    size_t before = -(uintptr_t)*ptr & mask;

    if (*bytes < before) {
        *bytes = 0;
        return;
    }
    *ptr = (char *)*ptr + before;
    *bytes = (*bytes - before) & ~mask;
}

void *
vm_reserve(size_t bytes)
{
    size_t mask = vm_page_size() - 1;
    void  *ptr;

    if (bytes == 0 || bytes > SIZE_MAX - mask) {
        return NULL;
    }
    ptr = mmap(NULL, (bytes + mask) & ~mask, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
    return ptr == MAP_FAILED ? NULL : ptr;
}

bool
vm_commit(void *ptr, size_t bytes)
{
    range_widen(&ptr, &bytes);
    return bytes == 0 || mprotect(ptr, bytes, PROT_READ | PROT_WRITE) == 0;
}

void
vm_discard(void *ptr, size_t bytes)
{
    range_narrow(&ptr, &bytes);
    if (bytes != 0 && madvise(ptr, bytes, MADV_DONTNEED) != 0) {
        /* Locked memory (mlockall) cannot be given back; the promise of zeroes still holds. */
        memset(ptr, 0, bytes);
    }
}

void
vm_release(void *ptr, size_t bytes)
{
    if (ptr != NULL) {
        int failed = 0;

        range_widen(&ptr, &bytes);
        failed = munmap(ptr, bytes);
        assert(failed == 0);
        (void)failed;
    }
}

void
vm_huge(void *ptr, size_t bytes)
{
    range_narrow(&ptr, &bytes);
    if (bytes != 0) {
        /* Kernels without transparent huge pages refuse; small pages serve as well. */
        (void)madvise(ptr, bytes, MADV_HUGEPAGE);
    }
}

void
vm_small(void *ptr, size_t bytes)
{
    range_narrow(&ptr, &bytes);
    if (bytes != 0) {
        (void)madvise(ptr, bytes, MADV_NOHUGEPAGE);
    }
}

bool
vm_populate(void *ptr, size_t bytes)
{
    range_widen(&ptr, &bytes);
#ifdef MADV_POPULATE_WRITE
    if (bytes == 0 || madvise(ptr, bytes, MADV_POPULATE_WRITE) == 0) {
        return true;
    }
    if (errno != EINVAL) {
        return false;
    }
#endif
    /* Kernels before 5.14: write every page what it holds. */
    for (size_t at = 0; at < bytes; at += vm_page_size()) {
        volatile char *byte = (char *)ptr + at;

        *byte = *byte;
    }
    return true;
}
