/* history.c - see history.h. */
#include "history.h"

#include <stdio.h>
#include <string.h>

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

kvault_status history_open(const char *path, enum history_mode mode, kvault **ret_vault, kvault_kv **ret_kv,
                           kvault_error *reterr)
{
    kvault_cache_setting setting = { true, true, 8 << 20, 1 << 20, 0 };
    kvault_status rc = kvault_open(path, NULL, ret_vault, reterr);

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

    for (int i = 0; i < count && rc >= 0; i++)
        rc = write_entry(kv, writer, *number + i, mode == HISTORY_STREAMS, bytes, err);
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
