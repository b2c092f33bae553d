/* fuzz_msgpack.c - any bytes are one MessagePack record that can be written again, or are refused where they go
 * wrong. */
#include "record_properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    record_properties_hold(KVAULT_FORMAT_MSGPACK, data, size);
    return 0;
}
