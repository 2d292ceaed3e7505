/* Bytes of a gateway-server: whatever they are, they become checked events or words. The first byte chooses the contract. */
#include "gateway-client/stream/received.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct gwc_receiver receiver = {.contract = data[0] & 1 ? GWC_CONTRACT_V1 : GWC_CONTRACT_GENERIC,
                                    .gateway = "g",
                                    .type = "t",
                                    .name = "n",
                                    .source = "/s",
                                    .event_type = "e"};
    struct gwc_received received;
    struct gw_reason reason = {""};

    int result = gwc_receive(&receiver, gw_view(data + 1, size - 1), &received, &reason);
    if (result == GWC_RECEIVED_BAD && reason.text[0] == '\0')
        abort();
    for (size_t i = 0; i < received.count; i++)
        if (!gw_event_check(&received.events[i]->fields, &reason))
            abort();
    gwc_received_done(&received);
    return 0;
}
