/* other_copy.c - see other_copy.h.
 *
 * Most objects that carry a copy hide its names, so a text is looked for that SQLite's reader of the schema needs, in
 * the read-only parts of the objects that were loaded. Reading those would be felt at every start of a program, so
 * some are left out: what the system has installed, which links with the system's SQLite as we do; Python itself;
 * code, where constants have a part of their own; what has more than 16 MiB of it. */
#include "storage/sqlite/other_copy.h"

#include <link.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define READ_BYTES_MAX ((size_t)16 << 20)

/* One text, in two parts, or we would find it in ourselves. */
static const char text_head[] = "CREATE TABLE x(type text,";
static const char text_tail[] = "name text,tbl_name text,";

struct search {
    struct storage_other_copy *seen;
    const char *ours; /* lies inside the SQLite that we are linked with */
    bool looked;
};

static bool covers(const struct dl_phdr_info *object, const void *address)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;

        if (part->p_type == PT_LOAD && (uintptr_t)address >= start && (uintptr_t)address - start < part->p_memsz)
            return true;
    }
    return false;
}

/* Boyer, Moore and Horspool's: the byte at the end of the text tells how far the next place is. The gaps that
 * a sanitizer leaves between objects are read too, which it is told to allow, and memmem() would not know. */
__attribute__((no_sanitize("address"))) static bool find_text(const char *at, size_t size)
{
    char text[sizeof text_head + sizeof text_tail];
    size_t length = (size_t)snprintf(text, sizeof text, "%s%s", text_head, text_tail), last = length - 1;
    uint8_t skips[256];

    memset(skips, (int)length, sizeof skips);
    for (size_t i = 0; i < last; i++)
        skips[(uint8_t)text[i]] = (uint8_t)(last - i);
    for (size_t end = last; end < size; end += skips[(uint8_t)at[end]]) {
        size_t same = 0;

        while (same < length && at[end - same] == text[last - same])
            same++;
        if (same == length)
            return true;
    }
    return false;
}

static bool is_left_out(const char *path)
{
    static const char *const installed[] = { "/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/" };
    const char *slash = strrchr(path, '/');

    for (size_t i = 0; i < sizeof installed / sizeof installed[0]; i++) {
        if (strncmp(path, installed[i], strlen(installed[i])) == 0 && !strstr(path, "-packages/"))
            return true;
    }
    return strncmp(slash ? slash + 1 : path, "libpython", 9) == 0;
}

/* Are constants in a part of their own? Older linkers put them beside the code. */
static bool has_constants(const struct dl_phdr_info *object)
{
    bool found = false;

    for (int i = 0; i < object->dlpi_phnum && !found; i++)
        found = object->dlpi_phdr[i].p_type == PT_LOAD && !(object->dlpi_phdr[i].p_flags & (PF_X | PF_W));
    return found;
}

static bool has_text(const struct dl_phdr_info *object)
{
    uint32_t unwanted = has_constants(object) ? PF_W | PF_X : PF_W;
    size_t total = 0;

    if (is_left_out(object->dlpi_name))
        return false;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_R) || (part->p_flags & unwanted))
            continue;
        total += part->p_filesz;
        if (total > READ_BYTES_MAX)
            return false;
        if (find_text((const char *)(object->dlpi_addr + part->p_vaddr), part->p_filesz))
            return true;
    }
    return false;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *ctx)
{
    struct search *search = ctx;

    (void)size;
    if (!search->looked && search->seen->objects_loaded == object->dlpi_adds)
        return 1;
    search->looked = true;
    search->seen->objects_loaded = object->dlpi_adds;
    /* Nor in the object that we are part of: what it carries is what we are linked with. (And under AddressSanitizer it
     * is the one whose constants must not be read across.) */
    if (covers(object, search->ours) || covers(object, text_head) || !has_text(object))
        return 0;
    (void)snprintf(search->seen->path, sizeof search->seen->path, "%s",
                   object->dlpi_name[0] ? object->dlpi_name : "the program itself");
    return 1;
}

bool kvault__sqlite_find_other_copy(struct storage_other_copy *seen)
{
    struct search search = { .seen = seen, .ours = sqlite3_libversion() };

    (void)dl_iterate_phdr(look_at, &search); /* what it returns is ours */
    return seen->path[0] != 0;
}
