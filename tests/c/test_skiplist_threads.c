/* test_skiplist_threads.c - many threads in one list. Run under ThreadSanitizer, it also finds races.
 *
 * Histories are checked key by key: whoever adds a key, or removes it, is told so,
 * and additions and removals of a key must alternate in any sequential order. So
 * their difference over all threads says whether the key is there at the end. */
#include <pthread.h>
#include <stdatomic.h>

#include "kvtest.h"

#include "kohakuvault/skiplist.h"

#define THREADS 4
#define KEYS 64
#define STEPS 20000

struct worker {
    pthread_t thread;
    kvault_skiplist *list;
    int number;
    uint64_t random;
    long added[KEYS], removed[KEYS];
    long wrong; /* answers that no order of events explains */
};

static uint32_t random_below(struct worker *self, uint32_t limit)
{
    self->random = self->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((self->random >> 33) % limit);
}

static void *as_value(uintptr_t number)
{
    return (void *)number;
}

/* Values are blocks that hold their key, so that use after release is seen by a sanitizer. */
struct cell {
    int64_t key;
};

static atomic_long cells_live;

static struct cell *new_cell(int64_t key)
{
    struct cell *cell = malloc(sizeof *cell);

    cell->key = key;
    atomic_fetch_add(&cells_live, 1);
    return cell;
}

static void free_cell(void *context, void *value)
{
    struct cell *cell = value;

    (void)context;
    cell->key = -1;
    atomic_fetch_sub(&cells_live, 1);
    free(cell);
}

static const kvault_map_hooks cell_hooks = { .release_value = free_cell };

static void run(struct worker *workers, kvault_skiplist *list, void *(*body)(void *))
{
    memset(workers, 0, THREADS * sizeof *workers);
    for (int i = 0; i < THREADS; i++) {
        workers[i].list = list;
        workers[i].number = i;
        workers[i].random = (uint64_t)i * 77 + 5;
        CHECK(pthread_create(&workers[i].thread, NULL, body, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(workers[i].wrong == 0);
}

/* With everyone gone, a few hundred changes free all that the threads left to wait. */
static void settle(kvault_skiplist *list)
{
    for (int i = 0; i < 400; i++) {
        kvault_skiplist_pin pin;

        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = -1 }, new_cell(-1), NULL, NULL), NULL);
        CHECK_OK(kvault_skiplist_remove(&pin, (kvault_key){ .i64 = -1 }, NULL, NULL), NULL);
        kvault_skiplist_leave(&pin);
    }
}

static void change_one(struct worker *self, kvault_skiplist_pin *pin)
{
    int64_t key = random_below(self, KEYS);
    uint32_t dice = random_below(self, 10);
    struct cell *cell = NULL, *seen = NULL;
    void *value = NULL;
    kvault_status rc;

    if (dice < 6) {
        cell = new_cell(key);
        rc = dice < 4 ? kvault_skiplist_insert(pin, (kvault_key){ .i64 = key }, cell, &value, NULL)
                      : kvault_skiplist_set(pin, (kvault_key){ .i64 = key }, cell, &value, NULL);
        self->added[key] += rc == KVAULT_OK;
        if (rc == KVAULT_END && dice < 4)
            free_cell(NULL, cell);
        seen = rc == KVAULT_END ? value : NULL;
    } else {
        rc = kvault_skiplist_remove(pin, (kvault_key){ .i64 = key }, &value, NULL);
        self->removed[key] += rc == KVAULT_OK;
        seen = rc == KVAULT_OK ? value : NULL;
    }
    self->wrong += rc < 0 || (seen && seen->key != key);
}

static void read_some(struct worker *self, kvault_skiplist_pin *pin)
{
    kvault_key key = { .i64 = random_below(self, KEYS) }, near;
    void *value = NULL;

    if (kvault_skiplist_get(pin, key, &value, NULL) == KVAULT_OK)
        self->wrong += ((struct cell *)value)->key != key.i64;
    if (kvault_skiplist_floor(pin, key, &near, &value, NULL) == KVAULT_OK)
        self->wrong += near.i64 > key.i64 || ((struct cell *)value)->key != near.i64;
    if (kvault_skiplist_ceiling(pin, key, &near, &value, NULL) == KVAULT_OK)
        self->wrong += near.i64 < key.i64 || ((struct cell *)value)->key != near.i64;
}

/* Keys of a page rise, and values are those of their keys. */
static void read_range(struct worker *self, kvault_skiplist_pin *pin, bool reverse)
{
    kvault_skiplist_iter *iter = NULL;
    kvault_key keys[KEYS];
    void *values[KEYS];
    size_t count = 0;

    self->wrong += kvault_skiplist_iter_new(self->list, NULL, NULL, reverse, &iter, NULL) != KVAULT_OK;
    self->wrong += kvault_skiplist_iter_fill(iter, pin, KEYS, keys, values, &count, NULL) != KVAULT_OK;
    for (size_t i = 0; i < count; i++) {
        self->wrong += ((struct cell *)values[i])->key != keys[i].i64;
        self->wrong += i > 0 && (reverse ? keys[i].i64 >= keys[i - 1].i64 : keys[i].i64 <= keys[i - 1].i64);
    }
    kvault_skiplist_iter_free(iter);
}

static void *change_and_read(void *argument)
{
    struct worker *self = argument;

    for (int i = 0; i < STEPS; i++) {
        kvault_skiplist_pin pin;

        if (kvault_skiplist_enter(self->list, &pin, NULL) < 0) {
            self->wrong++;
            continue;
        }
        change_one(self, &pin);
        read_some(self, &pin);
        if (i % 50 == 0)
            read_range(self, &pin, i % 100 == 0);
        kvault_skiplist_leave(&pin);
    }
    return NULL;
}

static void histories_agree_with_a_sequential_map(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_skiplist_pin pin;
    kvault_error err = KVAULT_ERROR_INIT;
    long live = kvtest_alloc_live(), total = 0;

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, &cell_hooks, &list, &err), &err);
    run(workers, list, change_and_read);
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    CHECK_OK(kvault_skiplist_enter(list, &pin, &err), &err);
    for (int64_t key = 0; key < KEYS; key++) {
        long balance = 0;
        void *value;

        for (int i = 0; i < THREADS; i++)
            balance += workers[i].added[key] - workers[i].removed[key];
        CHECK(balance == 0 || balance == 1);
        CHECK(kvault_skiplist_get(&pin, (kvault_key){ .i64 = key }, &value, NULL) ==
              (balance ? KVAULT_OK : KVAULT_NOT_FOUND));
        total += balance;
    }
    kvault_skiplist_leave(&pin);
    CHECK(kvault_skiplist_count(list) == (size_t)total);
    settle(list);
    CHECK(atomic_load(&cells_live) < total + 400);
    kvault_skiplist_free(list);
    CHECK(atomic_load(&cells_live) == 0);
    CHECK(kvtest_alloc_live() == live);
}

/* ---- keys that stay ---- */

/* Workers 0 and 1 add and remove odd keys; the others must find every even key, in every walk. */
static void *watch_or_disturb(void *argument)
{
    struct worker *self = argument;

    for (int i = 0; i < STEPS / 8; i++) {
        kvault_skiplist_iter *iter = NULL;
        kvault_skiplist_pin pin;
        kvault_key keys[7];
        int64_t even = 0;
        size_t count = 7;

        if (self->number < 2) {
            kvault_key key = { .i64 = 2 * random_below(self, KEYS / 2) + 1 };
            self->wrong += kvault_skiplist_enter(self->list, &pin, NULL) < 0;
            self->wrong += kvault_skiplist_insert(&pin, key, NULL, NULL, NULL) < 0;
            self->wrong += kvault_skiplist_remove(&pin, key, NULL, NULL) < 0;
            kvault_skiplist_leave(&pin);
            continue;
        }
        self->wrong += kvault_skiplist_iter_new(self->list, NULL, NULL, false, &iter, NULL) != KVAULT_OK;
        while (count == 7) {
            self->wrong += kvault_skiplist_enter(self->list, &pin, NULL) < 0;
            self->wrong += kvault_skiplist_iter_fill(iter, &pin, 7, keys, NULL, &count, NULL) < 0;
            kvault_skiplist_leave(&pin);
            for (size_t k = 0; k < count; k++)
                if (keys[k].i64 % 2 == 0) {
                    self->wrong += keys[k].i64 != even;
                    even += 2;
                }
        }
        self->wrong += even != KEYS;
        kvault_skiplist_iter_free(iter);
    }
    return NULL;
}

static void a_walk_sees_every_key_that_stays(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_skiplist_pin pin;
    kvault_error err = KVAULT_ERROR_INIT;

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, NULL, &list, &err), &err);
    CHECK_OK(kvault_skiplist_enter(list, &pin, &err), &err);
    for (int64_t key = 0; key < KEYS; key += 2)
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = key }, NULL, NULL, NULL), NULL);
    kvault_skiplist_leave(&pin);
    run(workers, list, watch_or_disturb);
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    kvault_skiplist_free(list);
}

/* ---- each thread its own keys ---- */

static void *fill_own_stripe(void *argument)
{
    struct worker *self = argument;

    for (int i = 0; i < STEPS; i++) {
        kvault_skiplist_pin pin;
        kvault_key key = { .i64 = (int64_t)i * THREADS + self->number };
        void *value = NULL;

        self->wrong += kvault_skiplist_enter(self->list, &pin, NULL) < 0;
        self->wrong += kvault_skiplist_insert(&pin, key, as_value((uintptr_t)key.i64), NULL, NULL) != KVAULT_OK;
        self->wrong += kvault_skiplist_get(&pin, key, &value, NULL) != KVAULT_OK;
        self->wrong += (uintptr_t)value != (uintptr_t)key.i64;
        if (i % 3 == 0)
            self->wrong += kvault_skiplist_remove(&pin, key, NULL, NULL) != KVAULT_OK;
        kvault_skiplist_leave(&pin);
    }
    return NULL;
}

static void nothing_of_anyone_is_lost(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, NULL, &list, &err), &err);
    run(workers, list, fill_own_stripe);
    CHECK(kvault_skiplist_count(list) == (size_t)THREADS * (STEPS - (STEPS + 2) / 3));
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    kvault_skiplist_free(list);
}

/* ---- threads that come and go ---- */

static void *churn_briefly(void *argument)
{
    struct worker *self = argument;

    for (int64_t i = 0; i < 100; i++) {
        struct cell *cell = new_cell(i % 10);
        kvault_skiplist_pin pin;

        self->wrong += kvault_skiplist_enter(self->list, &pin, NULL) < 0;
        if (kvault_skiplist_insert(&pin, (kvault_key){ .i64 = i % 10 }, cell, NULL, NULL) != KVAULT_OK)
            free_cell(NULL, cell);
        self->wrong += kvault_skiplist_remove(&pin, (kvault_key){ .i64 = i % 10 }, NULL, NULL) < 0;
        kvault_skiplist_leave(&pin);
    }
    return NULL;
}

static void threads_that_exit_leave_nothing_behind(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    long live = kvtest_alloc_live();

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, &cell_hooks, &list, &err), &err);
    for (int round = 0; round < 100 && kvtest_ok; round++)
        run(workers, list, churn_briefly);
    /* Up to 40,000 nodes went through. */
    settle(list);
    CHECK(kvtest_alloc_live() - live < 400 && atomic_load(&cells_live) < 400);
    CHECK(kvault_skiplist_count(list) == 0);
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    kvault_skiplist_free(list);
    CHECK(kvtest_alloc_live() == live);
}

/* ---- more pins than records ---- */

static void *hold_many_pins(void *argument)
{
    struct worker *self = argument;
    kvault_skiplist_pin pins[50];

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 50; i++)
            self->wrong += kvault_skiplist_enter(self->list, &pins[i], NULL) < 0;
        for (int i = 0; i < 50; i++)
            change_one(self, &pins[i]);
        for (int i = 0; i < 50; i++)
            kvault_skiplist_leave(&pins[i]);
    }
    return NULL;
}

static void there_is_room_for_any_number_of_pins(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, &cell_hooks, &list, &err), &err);
    run(workers, list, hold_many_pins);
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    kvault_skiplist_free(list);
    CHECK(atomic_load(&cells_live) == 0);
}

/* Even keys stay, odd ones come and go, in a list so large that searches take turns. */
#define LARGE 40000

static void *look_up_many(void *argument)
{
    struct worker *self = argument;
    kvault_key keys[20];
    void *values[20];

    for (int round = 0; round < 500; round++) {
        kvault_skiplist_pin pin;
        int64_t base = random_below(self, 100);

        self->wrong += kvault_skiplist_enter(self->list, &pin, NULL) < 0;
        for (int i = 0; i < 20; i++)
            keys[i].i64 = base + i;
        if (self->number % 2) {
            self->wrong += kvault_skiplist_get_many(&pin, keys, 20, NULL, values, NULL) != KVAULT_OK;
            for (int i = 0; i < 20; i++)
                self->wrong += values[i] ? ((struct cell *)values[i])->key != keys[i].i64 : keys[i].i64 % 2 == 0;
        } else {
            for (int i = 0; i < 20; i++) {
                if (keys[i].i64 % 2 == 0 || round % 2)
                    self->wrong += kvault_skiplist_set(&pin, keys[i], new_cell(keys[i].i64), NULL, NULL) < 0;
                else
                    self->wrong += kvault_skiplist_remove(&pin, keys[i], NULL, NULL) < 0;
            }
        }
        kvault_skiplist_leave(&pin);
    }
    return NULL;
}

static void searches_that_take_turns_miss_no_key_that_stays(void)
{
    static struct worker workers[THREADS];
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_skiplist_pin pin;

    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_I64, &cell_hooks, &list, &err), &err);
    CHECK_OK(kvault_skiplist_enter(list, &pin, &err), &err);
    for (int64_t key = 0; key < 2 * LARGE; key += 2)
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = key }, new_cell(key), NULL, &err), &err);
    kvault_skiplist_leave(&pin);
    run(workers, list, look_up_many);
    CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    kvault_skiplist_free(list);
    CHECK(atomic_load(&cells_live) == 0);
}

int main(void)
{
    RUN(histories_agree_with_a_sequential_map);
    RUN(a_walk_sees_every_key_that_stays);
    RUN(nothing_of_anyone_is_lost);
    RUN(threads_that_exit_leave_nothing_behind);
    RUN(there_is_room_for_any_number_of_pins);
    RUN(searches_that_take_turns_miss_no_key_that_stays);
    return kvtest_end();
}
