/* test_processes.c - several processes on one file: nobody is told that it is busy, nothing is lost, the log stays
 * short.
 *
 * Two writers, each with a history of its own, change their way of writing every half second: puts, cache,
 * transactions, streams. Two readers take snapshots: a snapshot holds what was acknowledged before it was
 * taken, without a gap in the last thousand, and the entries looked at are right. The parent watches the size of the
 * WAL. KVTEST_SECONDS says for how long (2); the default options are what a user has. */
#include "kvtest.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "history.h"

enum { WRITERS = 2, READERS = 2, LOOKED_AT = 1000 };
#define WAL_BYTES_MAX                                                                                                  \
    (128 << 20) /* the log is cut back above 64 MiB, at every 8 MiB more while readers are in the way */

static struct shared {
    _Atomic int acknowledged[WRITERS];
    _Atomic int snapshots[READERS];
    _Atomic bool stop, ready, warned;
} * shared;

static char folder[64];
static uint32_t seed;

static double now(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void name_file(char path[128], const char *name)
{
    (void)snprintf(path, 128, "%s/%s", folder, name);
}

static _Noreturn void fail(const char *who, const kvault_error *err)
{
    printf("# %s: %s\n", who, err->message);
    fflush(stdout);
    _exit(1);
}

static void die_with_the_parent(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* ---- writers and readers ---- */

static void write_for_a_while(const char *path, int writer, int *number, enum history_mode mode, uint32_t *dice,
                              uint8_t *bytes)
{
    double until = now() + 0.5;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    kvault_status rc = history_open(path, mode, &vault, &kv, &err);

    while (rc >= 0 && now() < until && !atomic_load(&shared->stop)) {
        rc = history_step(vault, kv, writer, number, mode, bytes, dice, &err);
        if (rc >= 0)
            atomic_store(&shared->acknowledged[writer], *number);
    }
    if (rc >= 0)
        rc = kvault_close(vault, &err);
    if (rc < 0)
        fail("writer", &err);
    kvault_kv_free(kv);
    kvault_free(vault);
}

static _Noreturn void be_writer(const char *path, int writer)
{
    uint8_t *bytes = malloc(HISTORY_VALUE_MAX);
    uint32_t dice = seed + (uint32_t)writer;
    int number = 0;

    while (!atomic_load(&shared->stop))
        write_for_a_while(path, writer, &number, (enum history_mode)(history_random(&dice) % HISTORY_MODES), &dice,
                          bytes);
    _exit(0);
}

static bool look(kvault_kv *kv, int writer, int promised, uint32_t *dice, uint8_t *got, uint8_t *want)
{
    int n = history_length(kv, writer, promised > LOOKED_AT ? promised - LOOKED_AT : 0);
    bool good = n >= promised;

    if (!good)
        printf("# %d entries of writer %d, %d were acknowledged\n", n, writer, promised);
    for (int i = 0; i < 5 && good && n > 0; i++)
        good = history_entry_is_right(kv, writer, i ? (int)(history_random(dice) % (uint32_t)n) : n - 1, got, want);
    return good;
}

static _Noreturn void be_reader(const char *path, int reader)
{
    uint8_t *got = malloc(HISTORY_VALUE_MAX), *want = malloc(HISTORY_VALUE_MAX);
    uint32_t dice = seed + 100 + (uint32_t)reader;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL, *snapshot = NULL;
    kvault_kv *kv = NULL;

    if (kvault_open(path, NULL, &vault, &err) < 0)
        fail("reader", &err);
    while (!atomic_load(&shared->stop)) {
        int promised[WRITERS];

        for (int writer = 0; writer < WRITERS; writer++)
            promised[writer] = atomic_load(&shared->acknowledged[writer]);
        if (kvault_snapshot(vault, &snapshot, &err) < 0 || kvault_kv_open(snapshot, NULL, &kv, &err) < 0)
            fail("reader", &err);
        for (int writer = 0; writer < WRITERS; writer++)
            if (!look(kv, writer, promised[writer], &dice, got, want))
                fail("reader", &err);
        kvault_kv_free(kv);
        if (kvault_close(snapshot, &err) < 0)
            fail("reader", &err);
        kvault_free(snapshot);
        atomic_fetch_add(&shared->snapshots[reader], 1);
    }
    fflush(stdout);
    _exit(kvault_close(vault, &err) != KVAULT_OK);
}

/* ---- the parent ---- */

static void make_file(const char *path)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;

    CHECK_OK(history_open(path, HISTORY_PLAIN, &vault, &kv, &err), &err);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

static off_t wal_size(const char *path)
{
    char wal[160];
    struct stat at;

    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    return stat(wal, &at) == 0 ? at.st_size : 0;
}

static void on_problem(void *ctx, const char *where, const char *what)
{
    printf("# %s: %s\n", where, what);
    ++*(int *)ctx;
}

static void check_all(const char *path)
{
    uint8_t *got = malloc(HISTORY_VALUE_MAX), *want = malloc(HISTORY_VALUE_MAX);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    int problems = 0;

    CHECK_OK(history_open(path, HISTORY_PLAIN, &vault, &kv, &err), &err);
    CHECK_OK(kvault_verify(vault, on_problem, &problems, &err), &err);
    CHECK(problems == 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        int n = atomic_load(&shared->acknowledged[writer]);

        CHECK(history_length(kv, writer, 0) == n);
        for (int number = 0; number < n && kvtest_ok; number++)
            CHECK(history_entry_is_right(kv, writer, number, got, want));
    }
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
    free(got);
    free(want);
}

static void wait_for(const pid_t *pids, int count)
{
    for (int i = 0; i < count; i++) {
        int status = 1;

        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
}

static void writers_and_readers_do_not_hurt_each_other(void)
{
    const char *given = getenv("KVTEST_SECONDS");
    double until = now() + (given ? strtod(given, NULL) : 2);
    pid_t pids[WRITERS + READERS];
    off_t largest = 0;
    char path[128];

    name_file(path, "shared.kv");
    make_file(path);
    fflush(stdout);
    for (int i = 0; i < WRITERS + READERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            die_with_the_parent();
        if (pids[i] == 0 && i < WRITERS)
            be_writer(path, i);
        if (pids[i] == 0)
            be_reader(path, i - WRITERS);
    }
    while (now() < until) {
        off_t size = wal_size(path);

        largest = size > largest ? size : largest;
        (void)usleep(2000);
    }
    atomic_store(&shared->stop, true);
    wait_for(pids, WRITERS + READERS);
    CHECK(largest <= WAL_BYTES_MAX);
    check_all(path);
    printf("# %d and %d entries, %d and %d snapshots, WAL at most %lld KiB\n", shared->acknowledged[0],
           shared->acknowledged[1], shared->snapshots[0], shared->snapshots[1], (long long)largest / 1024);
}

/* ---- a reader that stays ---- */

static _Noreturn void stay(const char *path)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL, *snapshot = NULL;

    if (kvault_open(path, NULL, &vault, &err) < 0 || kvault_snapshot(vault, &snapshot, &err) < 0)
        fail("the reader that stays", &err);
    atomic_store(&shared->ready, true);
    while (!atomic_load(&shared->stop))
        (void)usleep(1000);
    _exit(kvault_close(snapshot, &err) < 0 || kvault_close(vault, &err) < 0);
}

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    CHECK(strstr(message, "cannot shrink") != NULL);
    CHECK(!atomic_load(&shared->warned)); /* once */
    atomic_store(&shared->warned, true);
}

static void put_megabytes(kvault_kv *kv, int megabytes)
{
    static uint8_t bytes[250000], byte;
    kvault_error err = KVAULT_ERROR_INIT;

    for (int i = 0; i < 4 * megabytes; i++) {
        memset(bytes, ++byte, sizeof bytes); /* SQLite does not write a page again that is as it was */
        CHECK_OK(kvault_kv_put(kv, (kvault_slice){ &i, sizeof i }, (kvault_slice){ bytes, sizeof bytes }, &err), &err);
    }
}

/* It holds the log's end: the writer is told, and goes on. Once it left, the log is as short as before. */
static void a_reader_elsewhere_that_stays_makes_a_warning_and_no_stall(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_options options;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    char path[128];
    pid_t pid;

    atomic_store(&shared->stop, false);
    name_file(path, "pinned.kv");
    make_file(path);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        die_with_the_parent();
        stay(path);
    }
    kvault_options_init(&options);
    options.warn = on_warning;
    CHECK_OK(kvault_open(path, &options, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    while (!atomic_load(&shared->ready) && waitpid(pid, NULL, WNOHANG) == 0)
        (void)usleep(1000);
    put_megabytes(kv, 90);
    CHECK(atomic_load(&shared->warned) && wal_size(path) > 64 << 20);
    atomic_store(&shared->stop, true);
    wait_for(&pid, 1);
    put_megabytes(kv, 20);
    CHECK(wal_size(path) <= 64 << 20);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

int main(void)
{
    const char *given = getenv("KVTEST_SEED");
    char command[96];

    seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)snprintf(folder, sizeof folder, "%s/kvtest-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (shared == MAP_FAILED || !mkdtemp(folder))
        return 1;
    RUN(writers_and_readers_do_not_hurt_each_other);
    RUN(a_reader_elsewhere_that_stays_makes_a_warning_and_no_stall);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
