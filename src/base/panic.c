#include "base/panic.h"

#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PANIC_FRAMES_MAX 64
#define PANIC_STACK_SIZE (64u << 10) /* bytes; unwinding needs some */

static const char         *panic_build = "unknown build";
static _Thread_local void *panic_stack;
static _Atomic pid_t       panic_thread; /* the first thread with a bug; 0: none yet */

static void
text_write(const char *text)
{
    /* There is nobody left to tell if this fails. */
    ssize_t n = write(STDERR_FILENO, text, strlen(text));

    (void)n;
}

static void
number_write(uint64_t value, unsigned base)
{
    char   room[24];
    size_t at = sizeof room;

    room[--at] = '\0';
    do {
        room[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    text_write(room + at);
}

static const char *
signal_word(int number)
{
    switch (number) {
    case SIGABRT:
        return "SIGABRT";
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    default:
        return "signal";
    }
}

static void
panic_report(int number, const siginfo_t *info)
{
    void *frames[PANIC_FRAMES_MAX];
    int   count;

    text_write("\npanic: ");
    text_write(panic_build);
    text_write(": ");
    text_write(signal_word(number));
    if (number == SIGSEGV || number == SIGBUS) {
        text_write(" at address 0x");
        number_write((uint64_t)(uintptr_t)info->si_addr, 16);
    }
    text_write(", process ");
    number_write((uint64_t)getpid(), 10);
    text_write(", thread ");
    number_write((uint64_t)syscall(SYS_gettid), 10);
    text_write("\nbacktrace:\n");
    count = backtrace(frames, PANIC_FRAMES_MAX);
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
}

static void
panic_handle(int number, siginfo_t *info, void *context)
{
    struct sigaction usual = { .sa_handler = SIG_DFL };
    pid_t            self = (pid_t)syscall(SYS_gettid);
    pid_t            first = 0;

    (void)context;
    if (atomic_compare_exchange_strong(&panic_thread, &first, self)) {
        panic_report(number, info);
    } else if (first != self) {
        /* Dying now would cut the report of the first; it ends us all when it is done. */
        sleep(10);
    }
    /* A second fault of the same thread is one in the report: nothing more to say. */
    /* Back to the default: returning runs into the same fault again, or raise() ends us. */
    sigaction(number, &usual, NULL);
    raise(number);
}

void
panic_install(const char *build)
{
    static const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    void            *frame[1];

    panic_build = build;
    /* The first backtrace loads a library, which a signal handler must not do. */
    backtrace(frame, 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction now = { .sa_flags = 0 };
        struct sigaction ours = { .sa_sigaction = panic_handle,
                                  .sa_flags = SA_SIGINFO | SA_ONSTACK };

        sigemptyset(&ours.sa_mask);
        if (sigaction(numbers[i], NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
            now.sa_handler == SIG_DFL) {
            sigaction(numbers[i], &ours, NULL);
        }
    }
    panic_thread_start();
}

void
panic_thread_start(void)
{
    stack_t stack = { .ss_size = PANIC_STACK_SIZE };
    stack_t now;

    /* A sanitizer may have given the thread such a stack already. */
    if (panic_stack != NULL || sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) {
        return;
    }
    stack.ss_sp = mmap(NULL, PANIC_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    if (stack.ss_sp == MAP_FAILED) {
        return;
    }
    if (sigaltstack(&stack, NULL) != 0) {
        munmap(stack.ss_sp, PANIC_STACK_SIZE);
        return;
    }
    panic_stack = stack.ss_sp;
}

void
panic_thread_stop(void)
{
    stack_t off = { .ss_flags = SS_DISABLE };

    if (panic_stack != NULL && sigaltstack(&off, NULL) == 0) {
        munmap(panic_stack, PANIC_STACK_SIZE);
        panic_stack = NULL;
    }
}
