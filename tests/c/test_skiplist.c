/* test_skiplist.c - the list against a sorted array, in every kind of key, with one thread. */
#include <sys/wait.h>
#include <unistd.h>

#include "kvtest.h"

#include "kohakuvault/skiplist.h"

#define KEYS_MAX 900

struct text {
    size_t size;
    char data[16];
};

static struct text texts[KEYS_MAX];
static uint64_t random_state = 1;
static long compares, compare_fails_at, released_keys, released_values;
static kvault_skiplist *changed_by_compare;

/* Three keys of a number: the text, the text and a NUL, the text and a 1. */
static void make_texts(void)
{
    for (int i = 0; i < KEYS_MAX; i++) {
        int size = snprintf(texts[i].data, sizeof texts[i].data, "key%07d", i / 3);
        if (i % 3 > 0)
            texts[i].data[size++] = (char)(i % 3 - 1);
        texts[i].size = (size_t)size;
    }
}

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

static void *as_value(uintptr_t number)
{
    return (void *)number; /* never looked through */
}

/* Remove text 81 and put text 82, through a pin of its own. */
static kvault_status change_list(kvault_skiplist *list, kvault_error *reterr)
{
    kvault_skiplist_pin pin;
    kvault_status rc = kvault_skiplist_enter(list, &pin, reterr);

    changed_by_compare = NULL;
    if (rc < 0)
        return rc;
    CHECK(kvault_skiplist_remove(&pin, (kvault_key){ .object = &texts[81] }, NULL, reterr) >= 0);
    CHECK(kvault_skiplist_insert(&pin, (kvault_key){ .object = &texts[82] }, NULL, NULL, reterr) >= 0);
    kvault_skiplist_leave(&pin);
    return KVAULT_OK;
}

static kvault_status compare(void *context, void *a, void *b, int *ret_order, kvault_error *reterr)
{
    const struct text *x = a, *y = b;

    (void)context;
    *ret_order = (x > y) - (x < y); /* the array is in order */
    if (++compares != compare_fails_at)
        return KVAULT_OK;
    return changed_by_compare ? change_list(changed_by_compare, reterr) : KVAULT_E_COMPARE;
}

static kvault_slice text_bytes(void *context, void *key)
{
    struct text *text = key;
    (void)context;
    return (kvault_slice){ text->data, text->size };
}

static void count_key(void *context, void *key)
{
    (void)context;
    (void)key;
    released_keys++;
}

static void count_value(void *context, void *value)
{
    (void)context;
    (void)value;
    released_values++;
}

/* Five keys of a number tie. */
static int64_t text_rank(void *context, void *key)
{
    (void)context;
    return ((struct text *)key - texts) / 5;
}

static const kvault_map_hooks hooks = { NULL, compare, text_bytes, text_rank, count_key, count_value };
static const kvault_key_kind kinds[] = { KVAULT_KEY_I64, KVAULT_KEY_F64, KVAULT_KEY_BYTES, KVAULT_KEY_OBJECT_BYTES,
                                         KVAULT_KEY_OBJECT, KVAULT_KEY_RANKED };
#define KINDS (sizeof kinds / sizeof kinds[0])

static kvault_key key_of(kvault_key_kind kind, int number)
{
    kvault_key key = { .object = &texts[number] };

    if (kind == KVAULT_KEY_I64)
        key.i64 = ((int64_t)number - KEYS_MAX / 2) * 1000000007;
    else if (kind == KVAULT_KEY_F64)
        key.f64 = (number - KEYS_MAX / 2) * 0.37;
    else if (kind == KVAULT_KEY_BYTES)
        key.bytes = (kvault_slice){ texts[number].data, texts[number].size };
    return key;
}

static bool key_is(kvault_key_kind kind, kvault_key key, int number)
{
    kvault_key want = key_of(kind, number);

    if (kind == KVAULT_KEY_I64)
        return key.i64 == want.i64;
    if (kind == KVAULT_KEY_F64)
        return !(key.f64 < want.f64) && !(key.f64 > want.f64);
    if (kind == KVAULT_KEY_BYTES)
        return key.bytes.size == want.bytes.size && memcmp(key.bytes.data, want.bytes.data, want.bytes.size) == 0;
    return key.object == want.object;
}

static kvault_skiplist *new_list(kvault_key_kind kind)
{
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;

    compares = compare_fails_at = released_keys = released_values = 0;
    CHECK_OK(kvault_skiplist_new(kind, &hooks, &list, &err), &err);
    return list;
}

/* ---- a model ---- */

struct model {
    kvault_key_kind kind;
    bool present[KEYS_MAX];
    uintptr_t value[KEYS_MAX];
    size_t count;
};

static void step(kvault_skiplist_pin *pin, struct model *model, int number, uint32_t dice)
{
    bool there = model->present[number];
    uintptr_t value = 1 + random_below(1000);
    kvault_key key = key_of(model->kind, number);
    void *old = NULL;

    if (dice < 2) {
        CHECK(kvault_skiplist_insert(pin, key, as_value(value), &old, NULL) == (there ? KVAULT_END : KVAULT_OK));
        if (!there)
            model->value[number] = value;
    } else if (dice < 4) {
        CHECK(kvault_skiplist_set(pin, key, as_value(value), &old, NULL) == (there ? KVAULT_END : KVAULT_OK));
    } else {
        CHECK(kvault_skiplist_remove(pin, key, &old, NULL) == (there ? KVAULT_OK : KVAULT_NOT_FOUND));
    }
    CHECK(!there || (uintptr_t)old == model->value[number]);
    model->present[number] = dice < 4;
    model->count += (size_t)(dice < 4) - there;
    if (dice >= 2)
        model->value[number] = value;
}

static void check_near(kvault_skiplist_pin *pin, const struct model *model, int number)
{
    kvault_key given = key_of(model->kind, number), key = { 0 };
    int below = number, above = number, first = 0, last = KEYS_MAX - 1;
    void *value = NULL;
    kvault_status rc;

    while (below >= 0 && !model->present[below])
        below--;
    while (above < KEYS_MAX && !model->present[above])
        above++;
    while (first < KEYS_MAX && !model->present[first])
        first++;
    while (last >= 0 && !model->present[last])
        last--;
    rc = kvault_skiplist_floor(pin, given, &key, &value, NULL);
    CHECK(below < 0 ? rc == KVAULT_NOT_FOUND : rc == KVAULT_OK && key_is(model->kind, key, below));
    CHECK(below < 0 || (uintptr_t)value == model->value[below]);
    rc = kvault_skiplist_ceiling(pin, given, &key, &value, NULL);
    CHECK(above == KEYS_MAX ? rc == KVAULT_NOT_FOUND : rc == KVAULT_OK && key_is(model->kind, key, above));
    rc = kvault_skiplist_first(pin, &key, &value, NULL);
    CHECK(first == KEYS_MAX ? rc == KVAULT_NOT_FOUND : rc == KVAULT_OK && key_is(model->kind, key, first));
    rc = kvault_skiplist_last(pin, &key, &value, NULL);
    CHECK(last < 0 ? rc == KVAULT_NOT_FOUND : rc == KVAULT_OK && key_is(model->kind, key, last));
    rc = kvault_skiplist_get(pin, given, &value, NULL);
    CHECK(below != number ? rc == KVAULT_NOT_FOUND : rc == KVAULT_OK && (uintptr_t)value == model->value[number]);
    CHECK_OK(kvault_skiplist_get_many(pin, &given, 1, as_value(5000), &value, NULL), NULL);
    CHECK((uintptr_t)value == (below == number ? model->value[number] : 5000));
}

/* All between two numbers (-1: no bound), in pages of `page`. */
static void check_range(kvault_skiplist_pin *pin, const struct model *model, int from, int to, bool reverse,
                        size_t page)
{
    kvault_key start = key_of(model->kind, from < 0 ? 0 : from), stop = key_of(model->kind, to < 0 ? 0 : to), keys[50];
    int low = from < 0 ? 0 : from, high = to < 0 ? KEYS_MAX : to, at = reverse ? high - 1 : low;
    kvault_skiplist_iter *iter = NULL;
    void *values[50];
    size_t count = page;

    CHECK_OK(kvault_skiplist_iter_new(pin->list, from < 0 ? NULL : &start, to < 0 ? NULL : &stop, reverse, &iter, NULL),
             NULL);
    while (count == page) {
        CHECK_OK(kvault_skiplist_iter_fill(iter, pin, page, keys, values, &count, NULL), NULL);
        for (size_t i = 0; i < count; i++) {
            while (at >= low && at < high && !model->present[at])
                at += reverse ? -1 : 1;
            CHECK(at >= low && at < high && key_is(model->kind, keys[i], at) &&
                  (uintptr_t)values[i] == model->value[at]);
            at += reverse ? -1 : 1;
            if (!kvtest_ok) {
                kvault_skiplist_iter_free(iter);
                return;
            }
        }
    }
    while (at >= low && at < high && !model->present[at])
        at += reverse ? -1 : 1;
    CHECK(at < low || at >= high);
    kvault_skiplist_iter_free(iter);
}

static void play(kvault_key_kind kind)
{
    kvault_skiplist *list = new_list(kind);
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_skiplist_pin pin;
    struct model model = { .kind = kind };

    for (int i = 0; i < 20000 && kvtest_ok; i++) {
        int number = (int)random_below(KEYS_MAX);

        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        step(&pin, &model, number, random_below(i / 3000 % 2 ? 12 : 6));
        if (i % 20 == 0)
            check_near(&pin, &model, (int)random_below(KEYS_MAX));
        if (i % 400 == 0)
            check_range(&pin, &model, (int)random_below(KEYS_MAX + 1) - 1, (int)random_below(KEYS_MAX + 1) - 1,
                        i % 800 == 0, 1 + random_below(50));
        kvault_skiplist_leave(&pin);
        CHECK(kvault_skiplist_count(list) == model.count);
        if (i % 500 == 0)
            CHECK_OK(kvault_skiplist_verify(list, &err), &err);
    }
    kvault_skiplist_free(list);
}

static void the_list_agrees_with_a_sorted_array(void)
{
    long live = kvtest_alloc_live();

    for (size_t k = 0; k < KINDS; k++)
        play(kinds[k]);
    CHECK(kvtest_alloc_live() == live);
}

/* Enough that searches take turns. A third was removed, so that stale towers are on the way. */
static void get_many_in_a_large_list_equals_gets(void)
{
    enum { LARGE = 60000 };
    static char names[LARGE][24];
    static const kvault_key_kind large_kinds[] = { KVAULT_KEY_I64, KVAULT_KEY_F64, KVAULT_KEY_BYTES };

    for (int i = 0; i < LARGE; i++)
        snprintf(names[i], sizeof names[i], "%s%06d", i % 2 ? "a long beginning " : "", i * 7 / 2);
    for (size_t k = 0; k < 3; k++) {
        kvault_skiplist *list = new_list(large_kinds[k]);
        kvault_skiplist_pin pin;
        kvault_key keys[LARGE / 500];
        void *values[LARGE / 500];

        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        for (int pass = 0; pass < 2; pass++)
            for (int i = pass; i < LARGE; i += 1 + 2 * pass) {
                kvault_key key = { .i64 = (int64_t)i * 1000003 % LARGE - LARGE / 2 };

                if (large_kinds[k] == KVAULT_KEY_F64)
                    key.f64 = (double)key.i64 / 4;
                if (large_kinds[k] == KVAULT_KEY_BYTES)
                    key.bytes = (kvault_slice){ names[i], strlen(names[i]) };
                if (pass == 0)
                    CHECK(kvault_skiplist_set(&pin, key, as_value((uintptr_t)i + 1), NULL, NULL) >= 0);
                else
                    CHECK(kvault_skiplist_remove(&pin, key, NULL, NULL) >= 0);
            }
        for (int round = 0; round < 200; round++) {
            size_t count = random_below(LARGE / 500);

            for (size_t i = 0; i < count; i++) {
                int number = (int)random_below(LARGE);

                keys[i].i64 = number - LARGE / 2;
                if (large_kinds[k] == KVAULT_KEY_F64)
                    keys[i].f64 = (double)(number - LARGE / 2) / 4;
                if (large_kinds[k] == KVAULT_KEY_BYTES)
                    keys[i].bytes = (kvault_slice){ names[number], strlen(names[number]) };
            }
            CHECK_OK(kvault_skiplist_get_many(&pin, keys, count, as_value(7), values, NULL), NULL);
            for (size_t i = 0; i < count; i++) {
                void *value = as_value(7);

                CHECK(kvault_skiplist_get(&pin, keys[i], &value, NULL) >= 0 && value == values[i]);
            }
        }
        CHECK(kvault_skiplist_count(list) > 33000);
        kvault_skiplist_leave(&pin);
        kvault_skiplist_free(list);
    }
}

static void nan_and_missing_hooks_are_refused(void)
{
    kvault_skiplist *list = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_skiplist_pin pin;
    void *value = NULL;

    CHECK_STATUS(kvault_skiplist_new(KVAULT_KEY_OBJECT, NULL, &list, &err), KVAULT_E_INVALID, &err);
    CHECK_STATUS(kvault_skiplist_new(KVAULT_KEY_OBJECT_BYTES, NULL, &list, &err), KVAULT_E_INVALID, &err);
    CHECK(list == NULL);
    kvault_skiplist_free(NULL);
    CHECK_OK(kvault_skiplist_new(KVAULT_KEY_F64, NULL, &list, &err), &err);
    CHECK_OK(kvault_skiplist_enter(list, &pin, &err), &err);
    CHECK_STATUS(kvault_skiplist_set(&pin, (kvault_key){ .f64 = strtod("nan", NULL) }, NULL, NULL, &err),
                 KVAULT_E_INVALID, &err);
    CHECK_MESSAGE(&err, "NaN");
    CHECK_OK(kvault_skiplist_set(&pin, (kvault_key){ .f64 = -0.0 }, as_value(1), NULL, &err), &err);
    CHECK_OK(kvault_skiplist_get(&pin, (kvault_key){ .f64 = 0.0 }, &value, &err), &err);
    CHECK((uintptr_t)value == 1);
    kvault_skiplist_leave(&pin);
    kvault_skiplist_free(list);
}

static void what_is_removed_is_released_once_and_not_under_a_pin(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        kvault_skiplist *list = new_list(kinds[k]);
        bool objects = kinds[k] >= KVAULT_KEY_OBJECT_BYTES;
        kvault_skiplist_pin pin, reader;

        CHECK_OK(kvault_skiplist_enter(list, &reader, NULL), NULL);
        for (int i = 0; i < KEYS_MAX; i++) {
            CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
            CHECK_OK(kvault_skiplist_set(&pin, key_of(kinds[k], i), NULL, NULL, NULL), NULL);
            CHECK_STATUS(kvault_skiplist_set(&pin, key_of(kinds[k], i), NULL, NULL, NULL), KVAULT_END, NULL);
            if (i % 3)
                CHECK_OK(kvault_skiplist_remove(&pin, key_of(kinds[k], i), NULL, NULL), NULL);
            kvault_skiplist_leave(&pin);
        }
        CHECK(released_keys == 0 && released_values == 0);
        kvault_skiplist_leave(&reader);
        kvault_skiplist_free(list);
        CHECK(released_keys == (objects ? KEYS_MAX : 0) && released_values == 2 * KEYS_MAX);
    }
}

static void who_leaves_alone_releases_all_that_waits(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_OBJECT);
    kvault_skiplist_pin pin, other;

    for (int i = 0; i < 200; i++) {
        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        CHECK_OK(kvault_skiplist_insert(&pin, key_of(KVAULT_KEY_OBJECT, i), NULL, NULL, NULL), NULL);
        CHECK_STATUS(kvault_skiplist_set(&pin, key_of(KVAULT_KEY_OBJECT, i), NULL, NULL, NULL), KVAULT_END, NULL);
        CHECK_OK(kvault_skiplist_remove(&pin, key_of(KVAULT_KEY_OBJECT, i), NULL, NULL), NULL);
        /* Now and then another one is inside, and its items are found by the next to leave alone. */
        if (i % 3 == 0) {
            CHECK_OK(kvault_skiplist_enter(list, &other, NULL), NULL);
            CHECK_OK(kvault_skiplist_insert(&other, key_of(KVAULT_KEY_OBJECT, i), NULL, NULL, NULL), NULL);
            CHECK_OK(kvault_skiplist_remove(&other, key_of(KVAULT_KEY_OBJECT, i), NULL, NULL), NULL);
            kvault_skiplist_leave(&other);
        }
        kvault_skiplist_leave_alone(&pin);
        CHECK(released_keys == i + 1 + i / 3 + 1 && released_values == 2 * (i + 1) + i / 3 + 1);
    }
    kvault_skiplist_free(list);
}

static void what_waits_is_settled_when_nobody_is_inside(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_RANKED);
    kvault_skiplist_pin pin;

    CHECK(!kvault_skiplist_settle(list));
    CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    for (int i = 0; i < 10; i++)
        CHECK_OK(kvault_skiplist_insert(&pin, key_of(KVAULT_KEY_RANKED, i), NULL, NULL, NULL), NULL);
    kvault_skiplist_clear(&pin);
    kvault_skiplist_leave(&pin);
    CHECK(released_keys == 0);
    CHECK(kvault_skiplist_settle(list));
    CHECK(released_keys == 10 && released_values == 10);
    CHECK(!kvault_skiplist_settle(list));
    kvault_skiplist_free(list);
}

/* Stops at text 30. */
static int sum_up(void *context, kvault_key key, void *value)
{
    *(size_t *)context += (uintptr_t)value;
    return key.object == &texts[30] ? 7 : 0;
}

static void every_entry_is_shown_until_one_is_enough(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_OBJECT);
    kvault_skiplist_pin pin;
    size_t sum = 0;

    CHECK(kvault_skiplist_each(list, sum_up, &sum) == 0 && sum == 0);
    CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    for (int i = 0; i < 100; i += 10)
        CHECK_OK(kvault_skiplist_insert(&pin, key_of(KVAULT_KEY_OBJECT, i), as_value(1), NULL, NULL), NULL);
    compares = 0;
    CHECK(kvault_skiplist_each(list, sum_up, &sum) == 7 && sum == 4);
    CHECK(compares == 0);
    CHECK_OK(kvault_skiplist_remove(&pin, key_of(KVAULT_KEY_OBJECT, 30), NULL, NULL), NULL);
    sum = 0;
    CHECK(kvault_skiplist_each(list, sum_up, &sum) == 0 && sum == 9);
    kvault_skiplist_leave(&pin);
    kvault_skiplist_free(list);
}

static void an_iterator_resumes_behind_any_key(void)
{
    for (size_t k = 0; k < KINDS; k++)
        for (int reverse = 0; reverse < 2; reverse++)
            for (int last = 0; last < 40; last++) {
                kvault_skiplist *list = new_list(kinds[k]);
                kvault_skiplist_iter *iter = NULL;
                kvault_skiplist_pin pin;
                kvault_key keys[10];
                size_t count = 0;
                int want = reverse ? (last - 1) / 10 * 10 : last / 10 * 10 + 10;

                CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
                for (int i = 0; i < 100; i += 10)
                    CHECK_OK(kvault_skiplist_insert(&pin, key_of(kinds[k], i), NULL, NULL, NULL), NULL);
                CHECK_OK(kvault_skiplist_iter_new(list, NULL, NULL, reverse, &iter, NULL), NULL);
                CHECK_OK(kvault_skiplist_iter_fill(iter, &pin, 3, keys, NULL, &count, NULL), NULL);
                CHECK_OK(kvault_skiplist_iter_resume(iter, key_of(kinds[k], last), NULL), NULL);
                CHECK_OK(kvault_skiplist_iter_fill(iter, &pin, 1, keys, NULL, &count, NULL), NULL);
                CHECK(count == (reverse && last == 0 ? 0 : 1) && (count == 0 || key_is(kinds[k], keys[0], want)));
                kvault_skiplist_leave(&pin);
                kvault_skiplist_iter_free(iter);
                kvault_skiplist_free(list);
            }
}

static kvault_status order_of_half(void *context, kvault_key key, int *ret_order, kvault_error *reterr)
{
    double number = (double)key.i64, half = *(double *)context;

    (void)reterr;
    *ret_order = (number > half) - (number < half);
    return KVAULT_OK;
}

static void a_place_is_found_for_what_is_no_key(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_I64);
    kvault_skiplist_pin pin;

    CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    for (int64_t count = 0; count < 40; count++) {
        for (double half = -1; half < (double)count + 1; half += 0.5) {
            int64_t want = half < 0 ? 0 : (int64_t)(half + 0.5);
            kvault_key key = { .i64 = -7 };
            bool equal = false;
            void *value = NULL;
            kvault_status rc = kvault_skiplist_ceiling_by(&pin, order_of_half, &half, &key, &value, &equal, NULL);

            CHECK(rc == (want < count ? KVAULT_OK : KVAULT_NOT_FOUND));
            CHECK(rc || (key.i64 == want && (uintptr_t)value == (uintptr_t)want && equal == !((double)want > half)));
        }
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = count }, as_value((uintptr_t)count), NULL, NULL), NULL);
    }
    kvault_skiplist_leave(&pin);
    kvault_skiplist_free(list);
}

static void a_cleared_list_is_empty_and_releases_all(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        kvault_skiplist *list = new_list(kinds[k]);
        kvault_error err = KVAULT_ERROR_INIT;
        kvault_skiplist_pin pin;

        for (int round = 1; round < 3; round++) {
            CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
            for (int i = 0; i < KEYS_MAX; i++)
                CHECK_OK(kvault_skiplist_insert(&pin, key_of(kinds[k], i * 7 % KEYS_MAX), NULL, NULL, NULL), NULL);
            /* In the second round the first unlinking is left to a pass that compares nothing. */
            compare_fails_at = round == 2 ? compares + 1 : 0;
            kvault_skiplist_clear(&pin);
            compare_fails_at = 0;
            CHECK(kvault_skiplist_count(list) == 0);
            kvault_skiplist_leave(&pin);
            CHECK(released_values == KEYS_MAX * round);
            CHECK_OK(kvault_skiplist_verify(list, &err), &err);
        }
        kvault_skiplist_free(list);
        CHECK(released_values == 2 * KEYS_MAX);
    }
}

static void an_iterator_survives_every_change(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_BYTES);
    kvault_skiplist_iter *iter = NULL;
    kvault_skiplist_pin pin;
    kvault_key key;
    size_t count = 1;
    int seen = 0;

    CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    for (int i = 0; i < KEYS_MAX; i += 2)
        CHECK_OK(kvault_skiplist_insert(&pin, key_of(KVAULT_KEY_BYTES, i), NULL, NULL, NULL), NULL);
    CHECK_OK(kvault_skiplist_iter_new(list, NULL, NULL, false, &iter, NULL), NULL);
    for (int i = 0; count > 0; i += 2, seen += (int)count) {
        CHECK_OK(kvault_skiplist_iter_fill(iter, &pin, 1, &key, NULL, &count, NULL), NULL);
        CHECK(count == 0 || key_is(KVAULT_KEY_BYTES, key, i));
        /* What was given goes away, and something appears before it. */
        if (count > 0)
            CHECK_OK(kvault_skiplist_remove(&pin, key_of(KVAULT_KEY_BYTES, i), NULL, NULL), NULL);
        if (i > 0 && count > 0)
            CHECK_OK(kvault_skiplist_insert(&pin, key_of(KVAULT_KEY_BYTES, i - 1), NULL, NULL, NULL), NULL);
        kvault_skiplist_leave(&pin);
        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    }
    CHECK(seen == KEYS_MAX / 2);
    kvault_skiplist_leave(&pin);
    kvault_skiplist_iter_free(iter);
    kvault_skiplist_free(list);
}

/* ---- comparators ---- */

static kvault_status order_of_text(void *context, kvault_key key, int *ret_order, kvault_error *reterr)
{
    return compare(NULL, key.object, context, ret_order, reterr);
}

static kvault_status operate(kvault_skiplist_pin *pin, int which, kvault_error *err)
{
    kvault_key key = { .object = &texts[which % 2 ? 80 : 81] }, other;
    bool equal;
    void *value;

    switch (which / 2) {
    case 0:
        return kvault_skiplist_get(pin, key, &value, err);
    case 1:
        return kvault_skiplist_insert(pin, key, NULL, NULL, err);
    case 2:
        return kvault_skiplist_remove(pin, key, NULL, err);
    case 3:
        return kvault_skiplist_floor(pin, key, &other, &value, err);
    case 4:
        return kvault_skiplist_ceiling(pin, key, &other, &value, err);
    case 5:
        return kvault_skiplist_ceiling_by(pin, order_of_text, key.object, &other, &value, &equal, err);
    default:
        return kvault_skiplist_set(pin, key, NULL, NULL, err);
    }
}

/* Let the 1st, 2nd, 3rd... comparison of every operation fail, or change the list. */
static void provoke(kvault_key_kind kind, bool change)
{
    kvault_error err = KVAULT_ERROR_INIT;

    for (int which = 0; which < 14; which++)
        for (long nth = 1;; nth++) {
            kvault_skiplist *list = new_list(kind);
            kvault_skiplist_pin pin;
            kvault_status rc;
            bool reached;

            CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
            for (int i = 0; i < 200; i++)
                if (i % 2 == 0 || i == 81)
                    CHECK(kvault_skiplist_insert(&pin, (kvault_key){ .object = &texts[i] }, NULL, NULL, NULL) >= 0);
            compares = 0;
            compare_fails_at = nth;
            changed_by_compare = change ? list : NULL;
            rc = operate(&pin, which, &err);
            reached = compares >= nth;
            compare_fails_at = 0;
            changed_by_compare = NULL;
            kvault_skiplist_leave(&pin);
            /* A key removed is removed, also when the comparator fails while it is unlinked. */
            CHECK(!reached || change || rc == KVAULT_E_COMPARE || (which / 2 == 2 && rc == KVAULT_OK));
            CHECK(rc == KVAULT_E_COMPARE || rc >= 0);
            if (reached && !change && rc < 0)
                CHECK(kvault_skiplist_count(list) == 101);
            CHECK_OK(kvault_skiplist_verify(list, &err), &err);
            kvault_skiplist_free(list);
            CHECK(released_keys >= 101);
            if (!reached || !kvtest_ok)
                break;
        }
}

static void a_comparator_that_fails_leaves_the_list_as_it_was(void)
{
    long live = kvtest_alloc_live();

    provoke(KVAULT_KEY_OBJECT, false);
    provoke(KVAULT_KEY_RANKED, false);
    CHECK(kvtest_alloc_live() == live);
}

static void a_comparator_may_change_the_list(void)
{
    long live = kvtest_alloc_live();

    provoke(KVAULT_KEY_OBJECT, true);
    provoke(KVAULT_KEY_RANKED, true);
    CHECK(kvtest_alloc_live() == live);
}

/* ---- the heap ---- */

static kvault_status use_list(void *argument)
{
    kvault_key_kind kind = *(kvault_key_kind *)argument;
    kvault_key bound = key_of(kind, 3), keys[64];
    kvault_skiplist_iter *iter = NULL;
    kvault_skiplist *list = NULL;
    kvault_skiplist_pin pins[40];
    int held = 0, added = 0;
    size_t count = 0;
    kvault_status rc = kvault_skiplist_new(kind, &hooks, &list, NULL);

    for (; rc >= 0 && held < 40; held++) {
        rc = kvault_skiplist_enter(list, &pins[held], NULL);
        if (rc < 0)
            break;
    }
    for (int i = 0; rc >= 0 && i < 40; i++) {
        rc = kvault_skiplist_set(&pins[0], key_of(kind, i * 7 % 20), NULL, NULL, NULL);
        added += rc == KVAULT_OK;
        CHECK(kvault_skiplist_count(list) == (size_t)added);
    }
    if (rc >= 0)
        rc = kvault_skiplist_iter_new(list, &bound, NULL, false, &iter, NULL);
    if (rc >= 0)
        rc = kvault_skiplist_iter_fill(iter, &pins[0], 64, keys, NULL, &count, NULL);
    CHECK(rc < 0 || count == 17);
    while (held > 0)
        kvault_skiplist_leave(&pins[--held]);
    if (list)
        CHECK_OK(kvault_skiplist_verify(list, NULL), NULL);
    kvault_skiplist_iter_free(iter);
    kvault_skiplist_free(list);
    return rc < 0 ? rc : KVAULT_OK;
}

static void every_allocation_may_fail(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        kvault_key_kind kind = kinds[k];
        compare_fails_at = 0;
        kvtest_each_alloc_fails(use_list, &kind);
    }
}

static void churn_does_not_grow_the_list(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_BYTES);
    kvault_skiplist_pin pin;
    long live = kvtest_alloc_live(), most = 0;

    for (int i = 0; i < 300000; i++) {
        kvault_key key = key_of(KVAULT_KEY_BYTES, i % KEYS_MAX);
        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        CHECK_OK(kvault_skiplist_insert(&pin, key, NULL, NULL, NULL), NULL);
        CHECK_STATUS(kvault_skiplist_set(&pin, key, NULL, NULL, NULL), KVAULT_END, NULL);
        CHECK_OK(kvault_skiplist_remove(&pin, key, NULL, NULL), NULL);
        kvault_skiplist_leave(&pin);
        most = kvtest_alloc_live() - live > most ? kvtest_alloc_live() - live : most;
    }
    /* Three epochs of 64 items or a little more. */
    CHECK(most < 400);
    kvault_skiplist_free(list);
}

/* ---- fork ---- */

static int in_child(kvault_skiplist *list)
{
    kvault_skiplist_pin pin;
    long live = kvtest_alloc_live();

    kvault_skiplist_after_fork(list);
    kvtest_ok = true;
    for (int i = 0; i < 5000; i++) {
        CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = 1000 + i }, NULL, NULL, NULL), NULL);
        CHECK_OK(kvault_skiplist_remove(&pin, (kvault_key){ .i64 = 1000 + i }, NULL, NULL), NULL);
        kvault_skiplist_leave(&pin);
    }
    /* The pin of the parent does not hold back what the child frees. */
    CHECK(kvtest_alloc_live() - live < 400);
    CHECK(kvault_skiplist_count(list) == 100);
    CHECK_OK(kvault_skiplist_verify(list, NULL), NULL);
    kvault_skiplist_free(list);
    return kvtest_ok ? 0 : 1;
}

static void a_forked_child_goes_on_without_the_pins_of_others(void)
{
    kvault_skiplist *list = new_list(KVAULT_KEY_I64);
    kvault_skiplist_pin pin, other;
    int status = -1;
    pid_t child;

    CHECK_OK(kvault_skiplist_enter(list, &other, NULL), NULL);
    CHECK_OK(kvault_skiplist_enter(list, &pin, NULL), NULL);
    for (int64_t i = 0; i < 100; i++)
        CHECK_OK(kvault_skiplist_insert(&pin, (kvault_key){ .i64 = i }, NULL, NULL, NULL), NULL);
    kvault_skiplist_leave(&pin);
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(in_child(list));
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    kvault_skiplist_leave(&other);
    CHECK_OK(kvault_skiplist_verify(list, NULL), NULL);
    kvault_skiplist_free(list);
}

int main(void)
{
    make_texts();
    RUN(the_list_agrees_with_a_sorted_array);
    RUN(get_many_in_a_large_list_equals_gets);
    RUN(nan_and_missing_hooks_are_refused);
    RUN(what_is_removed_is_released_once_and_not_under_a_pin);
    RUN(who_leaves_alone_releases_all_that_waits);
    RUN(what_waits_is_settled_when_nobody_is_inside);
    RUN(every_entry_is_shown_until_one_is_enough);
    RUN(an_iterator_resumes_behind_any_key);
    RUN(a_place_is_found_for_what_is_no_key);
    RUN(a_cleared_list_is_empty_and_releases_all);
    RUN(an_iterator_survives_every_change);
    RUN(a_comparator_that_fails_leaves_the_list_as_it_was);
    RUN(a_comparator_may_change_the_list);
    RUN(every_allocation_may_fail);
    RUN(churn_does_not_grow_the_list);
    RUN(a_forked_child_goes_on_without_the_pins_of_others);
    return kvtest_end();
}
