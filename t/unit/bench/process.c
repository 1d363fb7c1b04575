/* CPU time and memory of a process, held against what this process knows of itself. */
#include "bench/process.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* It agrees with getrusage(), and counts what is less than /proc's 10 ms. */
Test(process, cpu_time_is_exact)
{
    struct err_detail d = { "" };
    usec_t user, system, before, after;

    cr_assert(zero(int, (int)process_cpu(getpid(), &before, &d)), "%s", d.text);
    do {
        clock_cpu(&user, &system);
    } while (user + system < before + 3 * USEC_PER_MSEC);
    cr_assert(zero(int, (int)process_cpu(getpid(), &after, &d)), "%s", d.text);
    cr_expect(ge(i64, after, user + system - USEC_PER_MSEC));
    cr_expect(le(i64, after, user + system + 20 * USEC_PER_MSEC), "this machine sleeps a lot?");
}

/* Memory is resident when it is touched. */
Test(process, memory_grows_as_it_is_used)
{
    static const size_t size = 64 << 20;
    struct err_detail d = { "" };
    uint64_t before, after;
    char *block = malloc(size);

    cr_assert(block != NULL);
    cr_assert(zero(int, (int)process_rss(getpid(), &before, &d)), "%s", d.text);
    memset(block, 1, size);
    cr_assert(zero(int, (int)process_rss(getpid(), &after, &d)), "%s", d.text);
    cr_expect(ge(u64, after - before, size - 65536));
    cr_expect(le(u64, after - before, size + (2 << 20)));
    free(block);
}

/* A process that is gone has neither, and the complaint says which process that was. */
Test(process, nothing_is_known_of_the_dead)
{
    struct err_detail d = { "" };
    pid_t pid = fork();
    char number[16];
    usec_t cpu;
    uint64_t rss;

    if (pid == 0) {
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, NULL, 0), pid));
    snprintf(number, sizeof number, "%d", pid);
    cr_expect(ne(int, (int)process_cpu(pid, &cpu, &d), 0));
    cr_expect(strstr(d.text, number) != NULL, "%s", d.text);
    cr_expect(ne(int, (int)process_rss(pid, &rss, &d), 0));
    cr_expect(strstr(d.text, number) != NULL, "%s", d.text);
}

/* How it ended, and its last words: the last five lines, whole or not. */
Test(process, ends_are_described)
{
    static const struct {
        const char *command, *end, *said;
    } row[] = {
        { "sh -c 'exit 3' {port}", "ended with status 3", "" },
        { "sh -c 'echo first; kill -9 $$' {port}", "was ended by signal 9 (Killed)", "> first\n" },
        { "sh -c 'seq 1 7 >&2; printf end' {port}", "ended with status 0",
          "> 4\n> 5\n> 6\n> 7\n> end\n" },
        { "sh -c 'echo; echo' {port}", "ended with status 0", "> \n> \n" },
        { "/nonexistent/server {port}", "ended with status 127", NULL },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };
        struct process p;
        char end[80], *said = NULL;
        size_t len;
        FILE *f;

        cr_expect(ne(int, (int)process_start(&p, row[i].command, NULL, &d), 0), "row %zu", i);
        cr_assert(process_ended(&p, 0), "row %zu", i);
        process_describe_end(&p, end, sizeof end);
        cr_expect(eq(str, end, (char *)(uintptr_t)row[i].end), "row %zu", i);
        f = open_memstream(&said, &len);
        process_print_said(&p, "> ", f);
        fclose(f);
        if (row[i].said) {
            cr_expect(eq(str, said, (char *)(uintptr_t)row[i].said), "row %zu", i);
        } else {
            cr_expect(strstr(said, "/nonexistent/server") != NULL, "row %zu: %s", i, said);
        }
        free(said);
        process_stop(&p);
        process_stop(&p); /* twice is fine */
    }
}
