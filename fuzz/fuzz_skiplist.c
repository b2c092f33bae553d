/* fuzz_skiplist.c - bytes are operations: a SkipList stays what an array of 256 flags says, under several pins at
 * once, and what is handed out under a pin is not released before that pin is given up.
 *
 * The first byte is the kind of keys; then each operation is a byte and the number of a key. */
#include "map_keys.h"

#include "kohakuvault/skiplist.h"

#define PINS 4

struct run {
    kvault_skiplist *list;
    kvault_skiplist_pin pin[PINS];
    bool held[PINS];
    struct model model;
};

static kvault_skiplist_pin *pin_of(struct run *run, uint8_t which)
{
    which %= PINS;
    if (!run->held[which]) {
        HOLDS(kvault_skiplist_enter(run->list, &run->pin[which], NULL) == KVAULT_OK);
        run->held[which] = true;
    }
    return &run->pin[which];
}

static void leave(struct run *run, uint8_t which)
{
    bool alone = true;

    which %= PINS;
    for (int i = 0; i < PINS; i++)
        alone = alone && (i == which || !run->held[i]);
    if (!run->held[which])
        return;
    run->held[which] = false;
    if (!alone) {
        kvault_skiplist_leave(&run->pin[which]);
        return;
    }
    kvault_skiplist_leave_alone(&run->pin[which]);
    HOLDS((size_t)values_held == run->model.count);
    HOLDS((size_t)keys_held == (is_object(run->model.kind) ? run->model.count : 0));
}

/* A failing comparison is passed over once the change is made, so an answer is right or E_COMPARE. */
static void put(struct run *run, kvault_skiplist_pin *pin, uint8_t number, uintptr_t value, bool replace)
{
    struct model *model = &run->model;
    kvault_key key = key_of(model->kind, number);
    void *there = NULL;
    kvault_status rc = replace ? kvault_skiplist_set(pin, key, as_value(value), &there, NULL)
                               : kvault_skiplist_insert(pin, key, as_value(value), &there, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || rc == (model->present[number] ? KVAULT_END : KVAULT_OK));
    if (rc == KVAULT_END)
        HOLDS((uintptr_t)there == model->value[number]);
    keys_held += rc == KVAULT_OK && is_object(model->kind);
    values_held += rc == KVAULT_OK || (rc == KVAULT_END && replace);
    if (rc == KVAULT_OK || (rc == KVAULT_END && replace))
        model_set(model, number, value);
}

static void cut(struct run *run, kvault_skiplist_pin *pin, uint8_t number)
{
    struct model *model = &run->model;
    void *value = NULL;
    kvault_status rc = kvault_skiplist_remove(pin, key_of(model->kind, number), &value, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || rc == (model->present[number] ? KVAULT_OK : KVAULT_NOT_FOUND));
    if (rc == KVAULT_OK) {
        HOLDS((uintptr_t)value == model->value[number]);
        model_remove(model, number);
    }
}

static void look(struct run *run, kvault_skiplist_pin *pin, uint8_t number)
{
    const struct model *model = &run->model;
    int low = model_floor(model, number), high = model_ceiling(model, number);
    kvault_key given = key_of(model->kind, number), key = { 0 };
    void *value = NULL;
    kvault_status rc = kvault_skiplist_get_many(pin, &given, 1, NULL, &value, NULL);

    HOLDS(rc == KVAULT_E_COMPARE || (rc == KVAULT_OK && (uintptr_t)value == (low == number ? model->value[low] : 0)));
    rc = kvault_skiplist_floor(pin, given, &key, &value, NULL);
    HOLDS(rc == KVAULT_E_COMPARE || rc == (low >= 0 ? KVAULT_OK : KVAULT_NOT_FOUND));
    HOLDS(rc != KVAULT_OK || (key_is(model->kind, key, (uint8_t)low) && (uintptr_t)value == model->value[low]));
    rc = kvault_skiplist_ceiling(pin, given, &key, &value, NULL);
    HOLDS(rc == KVAULT_E_COMPARE || rc == (high < KEYS ? KVAULT_OK : KVAULT_NOT_FOUND));
    HOLDS(rc != KVAULT_OK || (key_is(model->kind, key, (uint8_t)high) && (uintptr_t)value == model->value[high]));
}

/* A range in pages, with a change of the list in between that it must live with. */
static void walk(struct run *run, kvault_skiplist_pin *pin, uint8_t from, uint8_t to, bool reverse)
{
    const struct model *model = &run->model;
    kvault_key start = key_of(model->kind, from), stop = key_of(model->kind, to), keys[3];
    int at = reverse ? model_floor(model, to - 1) : model_ceiling(model, from);
    kvault_skiplist_iter *iter = NULL;
    void *values[3];
    size_t count = 3;

    HOLDS(kvault_skiplist_iter_new(run->list, &start, &stop, reverse, &iter, NULL) == KVAULT_OK);
    while (count == 3) {
        if (kvault_skiplist_iter_fill(iter, pin, 3, keys, values, &count, NULL) < 0) {
            kvault_skiplist_iter_free(iter);
            return; /* a comparison failed */
        }
        for (size_t i = 0; i < count; i++) {
            HOLDS(at >= from && at < to && key_is(model->kind, keys[i], (uint8_t)at));
            HOLDS((uintptr_t)values[i] == model->value[at]);
            at = reverse ? model_floor(model, at - 1) : model_ceiling(model, at + 1);
        }
        if (count > 0 && at >= 0 && at < KEYS)
            cut(run, pin, (uint8_t)at);
        if (at >= 0 && at < KEYS && !model->present[at])
            at = reverse ? model_floor(model, at) : model_ceiling(model, at);
    }
    HOLDS(at < from || at >= to);
    kvault_skiplist_iter_free(iter);
}

static void operate(struct run *run, struct script *script, uintptr_t value)
{
    uint8_t what = next_byte(script), number = next_byte(script);
    kvault_skiplist_pin *pin = pin_of(run, what / 16);

    switch (what % 16) {
    case 0:
        compares_left = 0;
        kvault_skiplist_clear(pin);
        memset(run->model.present, 0, sizeof run->model.present);
        run->model.count = 0;
        break;
    case 1:
        compares_left = number % 32;
        break;
    case 2:
        walk(run, pin, number, next_byte(script), value % 2);
        break;
    case 3:
        look(run, pin, number);
        break;
    case 4:
    case 5:
        put(run, pin, number, value, false);
        break;
    case 6:
    case 7:
    case 8:
        cut(run, pin, number);
        break;
    case 9:
    case 10:
        leave(run, number);
        break;
    default:
        put(run, pin, number, value, true);
    }
}

static void check(struct run *run)
{
    kvault_error err = KVAULT_ERROR_INIT;

    compares_left = 0;
    for (uint8_t i = 0; i < PINS; i++)
        leave(run, i);
    HOLDS(kvault_skiplist_verify(run->list, &err) == KVAULT_OK);
    HOLDS(kvault_skiplist_count(run->list) == run->model.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, data + size };
    struct run run = { .model.kind = map_kinds[next_byte(&script) % MAP_KINDS] };

    make_texts();
    compares_left = keys_held = values_held = 0;
    HOLDS(kvault_skiplist_new(run.model.kind, &map_hooks, &run.list, NULL) == KVAULT_OK);
    for (uintptr_t step = 1; script.at < script.end; step++) {
        operate(&run, &script, step);
        if (step % 64 == 0)
            check(&run);
    }
    check(&run);
    kvault_skiplist_free(run.list);
    HOLDS(keys_held == 0 && values_held == 0);
    return 0;
}
