/* history.c - see history.h. */
#include "history.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint32_t history_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* What entry `number` of a writer is: its size and its bytes follow from its name. */
static size_t entry_size(int writer, int number)
{
    uint32_t dice = (uint32_t)(number * 2 + writer) * 2654435761u >> 8;

    return dice % 16 == 0 ? 262145 + dice % (HISTORY_VALUE_MAX - 262145) : dice % 5000;
}

static void entry_bytes(int writer, int number, uint8_t *bytes, size_t size)
{
    uint32_t seed = (uint32_t)number * 7919u + (uint32_t)writer;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(history_random(&seed));
}

static size_t entry_key(int writer, int number, char text[32])
{
    return (size_t)snprintf(text, 32, "w%d-%08d", writer, number);
}

static kvault_status write_entry(kvault_kv *kv, int writer, int number, bool stream, uint8_t *bytes, kvault_error *err)
{
    char text[32];
    kvault_slice key = { text, entry_key(writer, number, text) };
    kvault_slice value = { bytes, entry_size(writer, number) };
    kvault_blob *blob = NULL;
    kvault_status rc;

    entry_bytes(writer, number, bytes, value.size);
    if (!stream)
        return kvault_kv_put(kv, key, value, err);
    rc = kvault_blob_open_write(kv, key, &blob, err);
    if (rc >= 0)
        rc = kvault_blob_write(blob, value, err);
    if (rc >= 0)
        rc = kvault_blob_publish(blob, err);
    kvault_blob_free(blob);
    return rc;
}

/* ---- the columns ---- */

static kvault_status open_column(kvault *vault, int writer, const char *kind, const char *dtype,
                                 kvault_column **ret_column, kvault_error *err)
{
    char text[32];
    kvault_slice name = { text, (size_t)snprintf(text, sizeof text, "w%d-%s", writer, kind) };
    kvault_status rc = kvault_column_open(vault, name, ret_column, err);

    if (rc == KVAULT_NOT_FOUND)
        rc = kvault_column_create(vault, name, (kvault_slice){ dtype, strlen(dtype) }, NULL, ret_column, err);
    return rc;
}

static kvault_status add_number(kvault_column *numbers, kvault_column *texts, int number, kvault_error *err)
{
    int64_t value = number;
    char text[64];
    uint64_t offsets[2] = { 0, (uint64_t)snprintf(text, sizeof text, "%0*d", 8 + number % 40, number) };
    kvault_elements one = { &value, NULL, 1 }, two = { text, offsets, 1 };
    kvault_status rc = kvault_column_append(numbers, &one, err);

    return rc < 0 ? rc : kvault_column_append(texts, &two, err);
}

/* Take a number out of the middle and put it back, as one. */
static kvault_status shuffle(kvault *vault, kvault_column *numbers, int number, kvault_error *err)
{
    kvault_buf data = KVAULT_BUF_INIT;
    kvault_elements one = { NULL, NULL, 1 };
    kvault_status rc = kvault_begin(vault, err);

    if (rc < 0)
        return rc;
    rc = kvault_column_pop(numbers, number / 2, &data, err);
    one.data = data.data;
    if (rc >= 0)
        rc = kvault_column_insert(numbers, number / 2, &one, err);
    kvault_buf_free(&data);
    if (rc >= 0)
        return kvault_commit(vault, err);
    (void)kvault_rollback(vault, NULL);
    return rc;
}

static kvault_status add_to_columns(kvault *vault, int writer, int number, kvault_error *err)
{
    kvault_column *numbers = NULL, *texts = NULL;
    kvault_status rc = open_column(vault, writer, "numbers", "i64", &numbers, err);

    if (rc >= 0)
        rc = open_column(vault, writer, "texts", "str", &texts, err);
    if (rc >= 0)
        rc = add_number(numbers, texts, number, err);
    if (rc >= 0 && number % 7 == 6)
        rc = shuffle(vault, numbers, number, err);
    kvault_column_free(numbers);
    kvault_column_free(texts);
    return rc;
}

kvault_status history_catch_up(kvault *vault, int writer, int length, kvault_error *err)
{
    kvault_column *numbers = NULL, *texts = NULL;
    uint64_t n = 0, t = 0;
    kvault_status rc = open_column(vault, writer, "numbers", "i64", &numbers, err);

    if (rc >= 0)
        rc = open_column(vault, writer, "texts", "str", &texts, err);
    if (rc >= 0)
        rc = kvault_column_length(numbers, &n, err);
    if (rc >= 0)
        rc = kvault_column_length(texts, &t, err);
    if (rc >= 0 && n > t) /* killed between the two */
        rc = kvault_column_delete(numbers, -1, err);
    for (; rc >= 0 && t < (uint64_t)length; t++)
        rc = add_number(numbers, texts, (int)t, err);
    kvault_column_free(numbers);
    kvault_column_free(texts);
    return rc;
}

static bool numbers_are_right(kvault_column *numbers, uint64_t count)
{
    kvault_range all = { 0, INT64_MAX, 1 };
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    bool right = kvault_column_get_range(numbers, &all, &result, &err) == KVAULT_OK && result.count == count;
    int64_t value;

    for (uint64_t i = 0; i < count && right; i++) {
        memcpy(&value, result.data.data + i * sizeof value, sizeof value);
        right = value == (int64_t)i;
    }
    kvault_result_free(&result);
    if (!right)
        printf("# the numbers are wrong: %s\n", err.message);
    return right;
}

static bool texts_are_right(kvault_column *texts, uint64_t count)
{
    kvault_range all = { 0, INT64_MAX, 1 };
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_error err = KVAULT_ERROR_INIT;
    bool right = kvault_column_get_range(texts, &all, &result, &err) == KVAULT_OK && result.count == count;
    char text[64];
    size_t at = 0;

    for (uint64_t i = 0; i < count && right; i++) {
        size_t size = (size_t)snprintf(text, sizeof text, "%0*d", 8 + (int)i % 40, (int)i);

        right = at + size <= result.data.size && memcmp(result.data.data + at, text, size) == 0;
        at += size;
    }
    kvault_result_free(&result);
    if (!right)
        printf("# the texts are wrong: %s\n", err.message);
    return right;
}

bool history_columns_are_right(kvault *vault, int writer, int *rows, int length)
{
    kvault_column *numbers = NULL, *texts = NULL;
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t n = 0, t = 0;
    bool right = open_column(vault, writer, "numbers", "i64", &numbers, &err) >= 0 &&
                 open_column(vault, writer, "texts", "str", &texts, &err) >= 0 &&
                 kvault_column_length(numbers, &n, &err) >= 0 && kvault_column_length(texts, &t, &err) >= 0;

    if (right && (n < (uint64_t)*rows || t < (uint64_t)*rows || n > (uint64_t)length || t > n || n > t + 1)) {
        printf("# writer %d: %llu numbers and %llu texts, acknowledged %d, %d entries\n", writer, (unsigned long long)n,
               (unsigned long long)t, *rows, length);
        right = false;
    }
    right = right && numbers_are_right(numbers, n) && texts_are_right(texts, t);
    *rows = (int)t;
    if (!right && err.message[0])
        printf("# writer %d: %s\n", writer, err.message);
    kvault_column_free(numbers);
    kvault_column_free(texts);
    return right;
}

kvault_status history_open(const char *path, enum history_mode mode, kvault **ret_vault, kvault_kv **ret_kv,
                           kvault_error *reterr)
{
    kvault_cache_setting setting = { true, true, 8 << 20, 1 << 20, 0 };
    kvault_options options;
    kvault_status rc;

    kvault_options_init(&options);
    options.gather_writes = getpid() % 3 != 0; /* one process in three leaves the log to SQLite's own VFS */
    rc = kvault_open(path, &options, ret_vault, reterr);
    if (rc >= 0)
        rc = kvault_kv_open(*ret_vault, NULL, ret_kv, reterr);
    if (rc >= 0 && mode == HISTORY_CACHED)
        rc = kvault_cache_set(*ret_vault, &setting, NULL, reterr);
    return rc;
}

kvault_status history_step(kvault *vault, kvault_kv *kv, int writer, int *number, enum history_mode mode,
                           uint8_t *bytes, uint32_t *seed, kvault_error *err)
{
    int count = mode == HISTORY_PLAIN || mode == HISTORY_STREAMS ? 1 : 1 + (int)(history_random(seed) % 12);
    kvault_status rc = mode == HISTORY_TRANSACTIONS ? kvault_begin(vault, err) : KVAULT_OK;

    for (int i = 0; i < count && rc >= 0; i++) {
        rc = write_entry(kv, writer, *number + i, mode == HISTORY_STREAMS, bytes, err);
        if (rc >= 0)
            rc = add_to_columns(vault, writer, *number + i, err);
    }
    if (rc >= 0 && mode == HISTORY_TRANSACTIONS)
        rc = kvault_commit(vault, err);
    if (rc >= 0 && mode == HISTORY_CACHED)
        rc = kvault_flush(vault, NULL, err);
    *number += count;
    return rc;
}

/* ---- looking at it ---- */

bool history_entry_is_right(kvault_kv *kv, int writer, int number, uint8_t *got, uint8_t *want)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char text[32];
    kvault_slice key = { text, entry_key(writer, number, text) };
    size_t size = entry_size(writer, number);
    uint64_t have = 0;

    entry_bytes(writer, number, want, size);
    if (kvault_kv_get(kv, key, got, HISTORY_VALUE_MAX, &have, &err) != KVAULT_OK || have != size ||
        memcmp(got, want, size) != 0) {
        printf("# entry %s is wrong: %s\n", text, err.message);
        return false;
    }
    return true;
}

int history_length(kvault_kv *kv, int writer, int from)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char prefix[8], text[32];
    kvault_slice start = { text, entry_key(writer, from, text) };
    kvault_kv_scan_options options = { .limit = UINT64_MAX };
    kvault_kv_scan *scan = NULL;
    kvault_slice key;
    kvault_status rc;
    int n = from;

    options.start = &start;
    options.prefix = (kvault_slice){ prefix, (size_t)snprintf(prefix, sizeof prefix, "w%d-", writer) };
    rc = kvault_kv_scan_open(kv, &options, &scan, &err);
    while (rc == KVAULT_OK) {
        rc = kvault_kv_scan_next(scan, &key, NULL, &err);
        if (rc == KVAULT_OK && (key.size != entry_key(writer, n++, text) || memcmp(key.data, text, key.size) != 0)) {
            printf("# writer %d: entry %d is missing\n", writer, n - 1);
            rc = KVAULT_E_CORRUPT;
        }
    }
    kvault_kv_scan_free(scan);
    if (rc < 0 && err.message[0])
        printf("# writer %d: %s\n", writer, err.message);
    return rc < 0 ? -1 : n;
}
