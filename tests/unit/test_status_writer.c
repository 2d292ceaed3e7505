/* The writer of the status: one patch at a time. The API server is played here; its answers come when a test says so. */
#include "gateway-client/report/status_writer.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct gw_loop *loop;
static struct {
    int sent, cancelled, composed;
    void (*done)(void *user, const struct gw_kube_answer *answer);
    void *user;
} api;

int __wrap_gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                        void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                        struct gw_kube_call **ret_call);
void __wrap_gw_kube_cancel(struct gw_kube_call *call);
struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube);

int __wrap_gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                        void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                        struct gw_kube_call **ret_call)
{
    (void)kube, (void)request;
    api.sent++;
    api.done = done;
    api.user = user;
    *ret_call = (struct gw_kube_call *)&api; /* only handed back to us */
    return 0;
}

void __wrap_gw_kube_cancel(struct gw_kube_call *call)
{
    assert_ptr_equal(call, &api);
    api.cancelled++;
}

struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube)
{
    (void)kube;
    return loop;
}

/* Each time something that matters. */
static void compose(void *user, const struct gw_node *before, bool plain, struct gw_bytes *out)
{
    (void)user, (void)before, (void)plain;
    gw_bytes_printf(out, "{\"phase\":\"Running\",\"message\":\"%d\"}", ++api.composed);
}

static void turn_for(int64_t ms)
{
    for (int64_t end_ms = gw_clock_monotonic_ms() + ms; gw_clock_monotonic_ms() < end_ms;)
        gw_loop_turn(loop, 10);
}

static void the_end_is_not_told_beside_a_patch_under_way(void **state)
{
    struct gw_metrics *metrics = gw_metrics_new();
    const struct gwc_status_writer_options options = {
        .namespace_ = "default", .name = "shop", .metrics = metrics, .compose = compose};
    const struct gw_view object =
        gw_view_text("{\"metadata\":{\"name\":\"shop\",\"uid\":\"u\",\"resourceVersion\":\"5\"}}");
    struct gwc_status_writer *writer;

    (void)state;
    assert_int_equal(gw_loop_open(&loop), 0);
    assert_int_equal(gwc_status_writer_open(&writer, &options), 0);
    gwc_status_writer_seen(writer, object); /* there is something to tell, soon … */
    gwc_status_writer_flush(writer);        /* … and at once */
    assert_int_equal(api.sent, 1);
    turn_for(300);
    assert_int_equal(api.sent, 1);
    gwc_status_writer_touch(writer);
    turn_for(300);
    assert_int_equal(api.sent, 1);
    assert_true(gwc_status_writer_busy(writer));
    gwc_status_writer_close(writer);
    assert_int_equal(api.cancelled, 1);
    gw_metrics_free(metrics);
    gw_loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_not_told_beside_a_patch_under_way),
    };
    return cmocka_run_group_tests_name("status_writer", tests, NULL, NULL);
}
