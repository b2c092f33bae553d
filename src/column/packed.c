/* packed.c - see packed.h. */
#include "column/packed.h"

#include <string.h>

#include "base/bytes.h"
#include "base/banned.h"

kvault_status kvault__packed_open(const uint8_t *data, uint32_t size, uint64_t count, struct packed *ret_packed,
                                  kvault_error *reterr)
{
    uint32_t area;

    if (size < PACKED_HEADER || kvault__load_le32(data) != count || count > (size - PACKED_HEADER) / PACKED_ENTRY)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "it does not hold the %llu elements that the list says",
                            (unsigned long long)count);
    area = kvault__load_le32(data + 4);
    if (area != size - PACKED_HEADER - (uint32_t)count * PACKED_ENTRY)
        return kvault__fail(reterr, KVAULT_E_CORRUPT, "its size does not match its header");
    *ret_packed = (struct packed){ data, (uint32_t)count, area };
    return KVAULT_OK;
}

static kvault_status bad_slot(kvault_error *reterr)
{
    return kvault__fail(reterr, KVAULT_E_CORRUPT, "the place of an element makes no sense");
}

kvault_status kvault__packed_decode(const uint8_t *bytes, uint32_t size, uint32_t entry, struct packed_slot *ret_slot,
                                    kvault_error *reterr)
{
    uint32_t slack = 0;

    if (entry & PACKED_SLACK) {
        if (!size)
            return bad_slot(reterr);
        slack = bytes[size - 1];
        if (slack == 255)
            slack = size >= 5 ? kvault__load_le32(bytes + size - 5) : 0;
        if (!slack || slack > size)
            return bad_slot(reterr);
    }
    *ret_slot = (struct packed_slot){ bytes, size - slack, slack, (entry & PACKED_LARGE) != 0 };
    if (ret_slot->large &&
        (ret_slot->size != PACKED_LARGE_BYTES || kvault__large_size(ret_slot) > KVAULT_COLUMN_ELEMENT_MAX))
        return bad_slot(reterr);
    return KVAULT_OK;
}

kvault_status kvault__packed_slot(const struct packed *packed, uint32_t i, struct packed_slot *ret_slot,
                                  kvault_error *reterr)
{
    const uint8_t *table = packed->data + PACKED_HEADER, *area = table + packed->count * PACKED_ENTRY;
    uint32_t entry = kvault__load_le32(table + i * PACKED_ENTRY), start = entry & PACKED_OFFSET, end = packed->area;

    if (i + 1 < packed->count)
        end = kvault__load_le32(table + (i + 1) * PACKED_ENTRY) & PACKED_OFFSET;
    if (start > end || end > packed->area)
        return bad_slot(reterr);
    return kvault__packed_decode(area + start, end - start, entry, ret_slot, reterr);
}

void kvault__packed_write(const struct packed_slot *slots, uint32_t count, uint32_t area, uint8_t *to)
{
    uint8_t *table = to + PACKED_HEADER, *bytes = table + count * PACKED_ENTRY;
    uint32_t offset = 0;

    kvault__store_le32(to, count);
    kvault__store_le32(to + 4, area);
    for (uint32_t i = 0; i < count; i++) {
        kvault__store_le32(table + i * PACKED_ENTRY, offset | (slots[i].large ? PACKED_LARGE : 0));
        if (slots[i].size)
            memcpy(bytes + offset, slots[i].data, slots[i].size);
        offset += slots[i].size;
    }
}

void kvault__packed_mark_slack(uint8_t *slot, uint32_t room, uint32_t size)
{
    uint32_t slack = room - size;

    if (slack < 255) {
        slot[room - 1] = (uint8_t)slack;
        return;
    }
    slot[room - 1] = 255;
    kvault__store_le32(slot + room - 5, slack);
}
