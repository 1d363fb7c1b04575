#include "base/vm.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pages of the range that take memory now. */
static size_t
resident_pages(void *ptr, size_t pages)
{
    unsigned char state[64];
    size_t        count = 0;

    cr_assert(le(sz, pages, sizeof state));
    cr_assert(eq(int, mincore(ptr, pages * vm_page_size(), state), 0));
    for (size_t i = 0; i < pages; i++) {
        count += state[i] & 1;
    }
    return count;
}

/* A store reserves memory_max at start: that must cost nothing, far beyond what the machine has. */
Test(vm, a_terabyte_of_address_space_is_free)
{
    size_t tera = (size_t)1 << 40;
    char  *at = vm_reserve(tera);

    cr_assert(ne(ptr, at, NULL));
    vm_huge(at, tera);
    cr_assert(vm_commit(at + (tera >> 1), 2 * vm_page_size()));
    at[tera >> 1] = 'x';
    cr_expect(eq(chr, at[(tera >> 1) + 1], 0));
    vm_release(at, tera);
}

Test(vm, discarded_pages_read_as_zero_and_take_no_memory)
{
    size_t page = vm_page_size();
    char  *at = vm_reserve(32 * page);

    cr_assert(ne(ptr, at, NULL));
    cr_assert(vm_commit(at, 32 * page));
    memset(at, 'x', 32 * page);
    cr_assert(eq(sz, resident_pages(at, 32), 32));
    /* Only whole pages may go: half a page is somebody's data. */
    vm_discard(at + page / 2, 16 * page);
    cr_expect(eq(sz, resident_pages(at, 32), 17));
    cr_expect(eq(chr, at[page - 1], 'x'));
    cr_expect(eq(chr, at[page], 0));
    cr_expect(eq(chr, at[16 * page - 1], 0));
    cr_expect(eq(chr, at[16 * page], 'x'));
    vm_release(at, 32 * page);
}

Test(vm, populated_pages_keep_their_bytes)
{
    size_t page = vm_page_size();
    char  *at = vm_reserve(8 * page);

    cr_assert(vm_commit(at, 8 * page));
    at[3 * page] = 'x';
    cr_assert(vm_populate(at, 8 * page));
    cr_expect(eq(sz, resident_pages(at, 8), 8));
    cr_expect(eq(chr, at[3 * page], 'x'));
    vm_release(at, 8 * page);
}

/* A stray pointer into the reserve must be a crash, not silent memory. */
Test(vm, reserved_pages_cannot_be_touched)
{
    volatile char *at = vm_reserve(vm_page_size());
    int            status = 0;
    pid_t          pid = fork();

    cr_assert(ge(int, pid, 0));
    if (pid == 0) {
        /* A sanitizer would turn the signal into something else. */
        signal(SIGSEGV, SIG_DFL);
        at[0] = 'x';
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_expect(eq(int, !!WIFSIGNALED(status), 1));
    cr_expect(eq(int, WTERMSIG(status), SIGSEGV));
}

Test(vm, sizes_that_cannot_be)
{
    cr_expect(eq(ptr, vm_reserve(0), NULL));
    cr_expect(eq(ptr, vm_reserve((size_t)-1), NULL));
    vm_release(NULL, 4096);
}
