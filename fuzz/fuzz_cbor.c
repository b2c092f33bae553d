/* fuzz_cbor.c - any bytes are one CBOR record that can be written again, or are refused where they are wrong. */
#include "record_properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    record_properties_hold(KVAULT_FORMAT_CBOR, data, size);
    return 0;
}
