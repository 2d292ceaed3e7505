/* check-server: a stream of Argo's contracts, which know neither a start nor acknowledgements. */
#include "gateway-client/check/check_server.h"

enum { HOLD_MS = 2000 }; /* a stream that ends by itself does so soon, or with its last event */

int gwc_check_stream_argo(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    const double timeout_s = (double)check->options.timeout_ms / 1000;
    int64_t began_ms = gw_clock_monotonic_ms();
    bool came;

    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
    GW_TRY(gwc_feed_await_events(feed, 1, gwc_check_until(check), &came));
    if (!feed->ended)
        GW_TRY(gwc_feed_await_events(feed, UINT64_MAX, gw_clock_monotonic_ms() + HOLD_MS, &came));
    if (feed->ended && feed->events == 0 && feed->status != GW_RPC_OK) {
        gw_reason_set(&check->words, "no stream could be started: %s", gwc_feed_words(feed));
        check->refused = check->options.config_given && feed->status == GW_RPC_INVALID_ARGUMENT;
        return 0;
    }
    if (feed->ended)
        gwc_check_failed(check, GWC_RULE_ARGO_STAYS_OPEN, "after %llu events %s",
                         (unsigned long long)feed->events, gwc_feed_words(feed));
    else
        gwc_check_ok(check, GWC_RULE_ARGO_STAYS_OPEN, "for %.1f s",
                     (double)(gw_clock_monotonic_ms() - began_ms) / 1000);
    if (check->events_come)
        gwc_check_ok(check, GWC_RULE_MESSAGE_SIZE, "the largest has %zu bytes", check->message_max);
    gwc_check_skip(check, GWC_RULE_MESSAGE_SIZE, "no event came within %.1f s", timeout_s);
    gwc_check_skip(check, GWC_RULE_ARGO_NAME, "no event came within %.1f s", timeout_s);
    return 0;
}
