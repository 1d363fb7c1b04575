#include "base/panic.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int
deep_fall(volatile int depth)
{
    volatile char room[4096];

    room[0] = (char)depth;
    return depth < 0 ? 0 : deep_fall(depth + 1) + room[0];
}

static void
fall_by_assert(void)
{
    assert(strlen("bug") == 4);
}

static void
fall_by_pointer(void)
{
    /* Not 0: a sanitizer would look for that before the processor does. */
    int *volatile nowhere = (int *)(uintptr_t)64;

    *nowhere = 1;
}

static void
fall_by_stack(void)
{
    deep_fall(1);
}

static void *
fall_main(void *arg)
{
    (void)arg;
    panic_thread_start();
    fall_by_stack();
    return NULL;
}

/* Two threads with the same bug: the report must not be cut by the second. */
static void
fall_by_threads(void)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, fall_main, NULL) != 0) {
            _exit(1);
        }
    }
    pthread_join(threads[0], NULL);
}

/* Runs fall in a child with the handler; gives what it printed, returns how it ended. */
static int
child_run(void (*fall)(void), char *out, size_t size)
{
    int     fd[2];
    int     status = 0;
    size_t  len = 0;
    pid_t   pid;
    ssize_t n;

    cr_assert(eq(int, pipe(fd), 0));
    pid = fork();
    cr_assert(ge(int, pid, 0));
    if (pid == 0) {
        static const int numbers[] = { SIGABRT, SIGSEGV };

        /* The test program has handlers of its own. */
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            signal(numbers[i], SIG_DFL);
        }
        dup2(fd[1], STDERR_FILENO);
        panic_install("magpied 1.2.3");
        fall();
        _exit(0);
    }
    close(fd[1]);
    while ((n = read(fd[0], out + len, size - 1 - len)) > 0) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fd[0]);
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    return status;
}

/* What a report from the field must hold; and the process must still die of the signal. */
Test(panic, last_words)
{
    static const struct {
        void (*fall)(void);
        int         signal;
        const char *word;
    } row[] = {
        { fall_by_assert, SIGABRT, "magpied 1.2.3: SIGABRT" },
        { fall_by_pointer, SIGSEGV, "magpied 1.2.3: SIGSEGV at address 0x40" },
        { fall_by_stack, SIGSEGV, "magpied 1.2.3: SIGSEGV at address 0x" },
        { fall_by_threads, SIGSEGV, "magpied 1.2.3: SIGSEGV at address 0x" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        static char text[65536];
        int         status = child_run(row[i].fall, text, sizeof text);

        cr_expect(eq(int, !!WIFSIGNALED(status), 1), "%s", row[i].word);
        cr_expect(eq(int, WTERMSIG(status), row[i].signal), "%s", row[i].word);
        cr_expect(ne(ptr, strstr(text, row[i].word), NULL), "%s", text);
        cr_expect(ne(ptr, strstr(text, "backtrace:\n"), NULL), "%s", text);
        cr_expect(eq(ptr, strstr(strstr(text, "panic: ") + 1, "panic: "), NULL), "one report only");
        cr_expect(ne(ptr, strstr(text, "thread "), NULL), "%s", text);
    }
}
