/* power_cut.c - see power_cut.h.
 *
 * A file is what a directory entry leads to: one that is deleted and made again is two files here,
 * as on a disk, and until the folder is synced either may be found under the name. */
#include "power_cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 64, NAME_BYTES = 128, SECTOR = 512 };

struct change { /* a truncation where data is NULL */
    uint8_t *data;
    size_t size;
    uint64_t offset; /* of a truncation: the new size */
};

struct image {
    uint8_t *bytes;
    size_t size;
};

struct file {
    char name[NAME_BYTES];
    bool there, there_durably; /* its entry in the folder: now, and after a cut that drops */
    struct image durable;      /* as of its last sync */
    struct change *changes;    /* since */
    size_t change_count;
};

static char folder[512];
static struct file files[FILES_MAX];
static int file_count;
static void (*listener)(void *ctx, const char *what);
static void *listener_ctx;

/* ---- bytes ---- */

static void *need(void *block)
{
    if (!block)
        abort(); /* a test cannot go on */
    return block;
}

static void image_resize(struct image *image, size_t size)
{
    image->bytes = need(realloc(image->bytes, size ? size : 1));
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static void image_write(struct image *image, const struct change *change, size_t from, size_t size)
{
    uint64_t end = change->offset + from + size;

    if (end > image->size)
        image_resize(image, end);
    memcpy(image->bytes + change->offset + from, change->data + from, size);
}

static void image_apply(struct image *image, const struct change *change)
{
    if (change->data)
        image_write(image, change, 0, change->size);
    else
        image_resize(image, change->offset);
}

static uint32_t dice(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/* Some sectors of the disk, as far as the write covers them. */
static void image_apply_torn(struct image *image, const struct change *change, uint32_t *seed)
{
    for (size_t at = 0, part; at < change->size; at += part) {
        part = SECTOR - (size_t)((change->offset + at) % SECTOR);
        part = part < change->size - at ? part : change->size - at;
        if (dice(seed) % 2)
            image_write(image, change, at, part);
    }
}

/* ---- the record ---- */

static void forget_changes(struct file *file)
{
    for (size_t i = 0; i < file->change_count; i++)
        free(file->changes[i].data);
    free(file->changes);
    file->changes = NULL;
    file->change_count = 0;
}

static void forget_file(struct file *file)
{
    forget_changes(file);
    free(file->durable.bytes);
    *file = files[--file_count];
    memset(&files[file_count], 0, sizeof *file);
}

/* The name inside the watched folder, or NULL. */
static const char *name_in_folder(const char *path)
{
    size_t length = strlen(folder);

    return length && strncmp(path, folder, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static struct file *find(const char *path)
{
    const char *name = name_in_folder(path);

    for (int i = 0; name && i < file_count; i++)
        if (files[i].there && strcmp(files[i].name, name) == 0)
            return &files[i];
    return NULL;
}

static void folder_synced(void)
{
    for (int i = file_count - 1; i >= 0; i--) {
        files[i].there_durably = files[i].there;
        if (!files[i].there)
            forget_file(&files[i]);
    }
}

void power_watch(const char *watched)
{
    power_unwatch();
    (void)snprintf(folder, sizeof folder, "%s", watched);
}

void power_unwatch(void)
{
    while (file_count)
        forget_file(&files[0]);
    folder[0] = 0;
    listener = NULL;
}

void power_on_moment(void (*moment)(void *ctx, const char *what), void *ctx)
{
    listener = moment;
    listener_ctx = ctx;
}

void power_moment(const char *path, const char *what)
{
    if (name_in_folder(path) && listener)
        listener(listener_ctx, what);
}

/* What a file that was there from the start holds. */
static bool load(const char *path, struct image *image)
{
    FILE *in = fopen(path, "rb");
    long size;

    if (!in)
        return false;
    (void)fseek(in, 0, SEEK_END);
    size = ftell(in);
    (void)fseek(in, 0, SEEK_SET);
    image_resize(image, (size_t)size);
    if (fread(image->bytes, 1, (size_t)size, in) != (size_t)size)
        abort();
    (void)fclose(in);
    return true;
}

/* Before a file is opened: one that is not followed yet will be. */
void power_opening(const char *path)
{
    struct file *file;

    if (!name_in_folder(path) || find(path))
        return;
    if (file_count == FILES_MAX)
        abort();
    file = &files[file_count++];
    (void)snprintf(file->name, sizeof file->name, "%s", name_in_folder(path));
    file->there = file->there_durably = load(path, &file->durable);
}

/* After it: one that was not there was made, or could not be opened. */
void power_opened(const char *path, bool good)
{
    struct file *newest = file_count ? &files[file_count - 1] : NULL;

    if (!name_in_folder(path) || find(path))
        return;
    newest->there = good; /* the one that power_opening() added */
    if (!good)
        forget_file(newest);
}

static void note_change(const char *path, const void *data, size_t size, uint64_t offset)
{
    struct file *file = find(path);
    struct change change = { .data = NULL, .size = size, .offset = offset };

    if (!file)
        return;
    if (data)
        change.data = memcpy(need(malloc(size ? size : 1)), data, size);
    file->changes = need(realloc(file->changes, (file->change_count + 1) * sizeof change));
    file->changes[file->change_count++] = change;
}

void power_wrote(const char *path, const void *data, size_t size, uint64_t offset)
{
    note_change(path, data, size, offset);
}

void power_truncated(const char *path, uint64_t size)
{
    note_change(path, NULL, 0, size);
}

void power_synced(const char *path, bool folder_too)
{
    struct file *file = find(path);

    for (size_t i = 0; file && i < file->change_count; i++)
        image_apply(&file->durable, &file->changes[i]);
    if (file)
        forget_changes(file);
    if (folder_too && name_in_folder(path))
        folder_synced();
}

void power_deleted(const char *path, bool synced)
{
    struct file *file = find(path);

    if (file) {
        file->there = false;
        if (!file->there_durably)
            forget_file(file);
    }
    if (synced && name_in_folder(path))
        folder_synced();
}

/* ---- the cut ---- */

static void apply_rest(struct image *image, const struct file *file, enum power_rest rest, uint32_t *seed)
{
    for (size_t i = 0; i < file->change_count && rest != POWER_DROPPED; i++) {
        uint32_t fall = rest == POWER_KEPT ? 0 : dice(seed) % 4;

        if (fall < 2)
            image_apply(image, &file->changes[i]);
        else if (fall == 2 && file->changes[i].data)
            image_apply_torn(image, &file->changes[i], seed);
    }
}

static bool write_image(const char *dest, const char *name, const struct image *image)
{
    char path[1024];
    FILE *out;
    bool good;

    (void)snprintf(path, sizeof path, "%s/%s", dest, name);
    out = fopen(path, "wb");
    if (!out)
        return false;
    good = fwrite(image->bytes, 1, image->size, out) == image->size;
    return fclose(out) == 0 && good;
}

bool power_cut(const char *dest, enum power_rest rest, uint32_t seed)
{
    /* A file system keeps the order of what changes in a folder: it is as it was, or as it is. */
    bool folder_as_it_is = rest == POWER_KEPT || (rest == POWER_TORN && dice(&seed) % 2);
    bool good = true;

    for (int i = 0; i < file_count; i++) {
        struct image image = { need(malloc(files[i].durable.size + 1)), files[i].durable.size };

        if (!(folder_as_it_is ? files[i].there : files[i].there_durably)) {
            free(image.bytes);
            continue;
        }
        if (image.size)
            memcpy(image.bytes, files[i].durable.bytes, image.size);
        apply_rest(&image, &files[i], rest, &seed);
        good &= write_image(dest, files[i].name, &image);
        free(image.bytes);
    }
    return good;
}
