/* test_column_threads.c - columns used by many threads at once: appended to, edited, read from memory and from the
 * file, with the write cache switched on and off. Under ThreadSanitizer nothing may race. */
#include "kvtest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { THREADS = 4, TURNS = 120, BULK = 3000 };

static char folder[] = "/tmp/kvtest-XXXXXX";
static kvault *vault;
static kvault_column *numbers, *texts;
static _Atomic int failures, appended;

static void expect(bool good, const char *what, const kvault_error *err)
{
    if (good)
        return;
    printf("# %s: %s\n", what, err->message);
    atomic_fetch_add(&failures, 1);
}

static void append_to_both(int thread, int turn)
{
    kvault_error err = KVAULT_ERROR_INIT;
    int64_t number = thread * 1000000 + turn;
    char text[32];
    uint64_t offsets[2] = { 0, (uint64_t)snprintf(text, sizeof text, "%d-%d", thread, turn) };
    kvault_elements one = { &number, NULL, 1 }, two = { text, offsets, 1 };

    expect(kvault_column_append(numbers, &one, &err) == KVAULT_OK, "append a number", &err);
    expect(kvault_column_append(texts, &two, &err) == KVAULT_OK, "append a text", &err);
    atomic_fetch_add(&appended, 1);
}

static void read_both(int turn)
{
    kvault_range some = { turn % 50, turn % 50 + 40, 1 };
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t length = 0;
    int64_t number;

    expect(kvault_column_length(numbers, &length, &err) == KVAULT_OK && length >= BULK, "length", &err);
    for (int i = 0; i < 20; i++) {
        expect(kvault_column_get(numbers, i * 37 % BULK, &number, &err) == KVAULT_OK, "get a number", &err);
        expect(kvault_column_get_one(texts, i * 37 % BULK, &result, &err) == KVAULT_OK, "get a text", &err);
    }
    expect(kvault_column_get_range(texts, &some, &result, &err) == KVAULT_OK && result.count == 40, "a range", &err);
    kvault_result_free(&result);
}

/* Put an element in at the front and take it out again, as one. */
static void edit(int turn)
{
    kvault_error err = KVAULT_ERROR_INIT;
    int64_t number = turn;
    kvault_elements one = { &number, NULL, 1 };
    bool good = kvault_begin(vault, &err) == KVAULT_OK;

    good = good && kvault_column_insert(numbers, 1, &one, &err) == KVAULT_OK;
    good = good && kvault_column_delete(numbers, 1, &err) == KVAULT_OK;
    good = good && kvault_column_set(numbers, 0, &one, &err) == KVAULT_OK;
    good = good && kvault_commit(vault, &err) == KVAULT_OK;
    expect(good, "edit", &err);
}

static void *work(void *argument)
{
    int thread = (int)(intptr_t)argument;

    for (int turn = 0; turn < TURNS; turn++) {
        kvault_cache_setting setting = { turn % 20 < 10, true, 1 << 20, 1 << 12, 0 };
        kvault_error err = KVAULT_ERROR_INIT;

        if (thread == 0 && turn % 10 == 0)
            expect(kvault_cache_set(vault, &setting, NULL, &err) == KVAULT_OK, "the cache", &err);
        append_to_both(thread, turn);
        read_both(turn);
        if (turn % 8 == thread)
            edit(turn);
        if (turn % 30 == 29)
            expect(kvault_flush(vault, NULL, &err) >= KVAULT_OK, "flush", &err);
    }
    return NULL;
}

static void on_problem(void *ctx, const char *where, const char *what)
{
    (void)ctx;
    printf("# %s: %s\n", where, what);
    atomic_fetch_add(&failures, 1);
}

static void fill(void)
{
    static int64_t all[BULK];
    static char data[BULK * 8];
    static uint64_t offsets[BULK + 1];
    kvault_elements some = { all, NULL, BULK }, others = { data, offsets, BULK };
    kvault_error err = KVAULT_ERROR_INIT;

    for (uint64_t i = 0; i <= BULK; i++)
        offsets[i] = 8 * i;
    expect(kvault_column_append(numbers, &some, &err) == KVAULT_OK, "fill", &err);
    expect(kvault_column_append(texts, &others, &err) == KVAULT_OK, "fill", &err);
}

static void threads_share_two_columns(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    pthread_t threads[THREADS];
    uint64_t n = 0, t = 0;
    char path[64];

    (void)snprintf(path, sizeof path, "%s/t.kv", folder);
    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_column_create(vault, (kvault_slice){ "n", 1 }, (kvault_slice){ "i64", 3 }, NULL, &numbers, &err),
             &err);
    CHECK_OK(kvault_column_create(vault, (kvault_slice){ "t", 1 }, (kvault_slice){ "bytes", 5 }, NULL, &texts, &err),
             &err);
    fill();
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_OK(kvault_column_length(numbers, &n, &err), &err);
    CHECK_OK(kvault_column_length(texts, &t, &err), &err);
    CHECK(n == BULK + (uint64_t)atomic_load(&appended) && t == n);
    CHECK_OK(kvault_verify(vault, on_problem, NULL, &err), &err);
    CHECK(atomic_load(&failures) == 0);
    kvault_column_free(numbers);
    kvault_column_free(texts);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(threads_share_two_columns);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
