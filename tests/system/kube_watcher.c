/* For test_kube_watch.py and test_kube_faults.py: one watch, each of its callbacks as a line of JSON on standard output.
 * SIGUSR1 pauses it, SIGUSR2 resumes it, SIGTERM ends it in order. */
#include "common/flags.h"
#include "common/json.h"
#include "common/kube_watch.h"

#include <signal.h>
#include <stdio.h>

struct watcher {
    struct gw_loop *loop;
    struct gw_kube *kube;
    struct gw_kube_watch *watch;
    bool with_objects;
};

static void line_member(struct gw_bytes *line, const char *key, const char *value)
{
    gw_bytes_printf(line, ",\"%s\":", key);
    gw_json_quote(line, gw_view_text(value));
}

static void line_print(struct gw_bytes *line)
{
    printf("%s}\n", gw_bytes_text(line));
    fflush(stdout);
}

static void on_object(void *user, const struct gw_kube_object *object)
{
    static const char *const changes[] = {"ADDED", "MODIFIED", "DELETED"};
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};
    struct watcher *watcher = user;

    gw_bytes_printf(&line, "{\"told\":\"%s\"", changes[object->change]);
    line_member(&line, "namespace", object->namespace_);
    line_member(&line, "name", object->name);
    line_member(&line, "uid", object->uid);
    line_member(&line, "version", object->resource_version);
    gw_bytes_printf(&line, ",\"listed\":%s,\"size\":%zu", object->listed ? "true" : "false",
                    object->json.size);
    if (watcher->with_objects && object->json.size > 0) {
        gw_bytes_append_text(&line, ",\"object\":");
        gw_bytes_append_view(&line, object->json);
    }
    line_print(&line);
}

static void on_told(const char *what, const char *key, const char *value)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};

    gw_bytes_printf(&line, "{\"told\":\"%s\"", what);
    if (value != NULL)
        line_member(&line, key, value);
    line_print(&line);
}

static void on_listing(void *user)
{
    (void)user;
    on_told("listing", "", NULL);
}

static void on_synced(void *user, const char *list_version)
{
    (void)user;
    on_told("synced", "version", list_version);
}

static void on_progressed(void *user, const char *resource_version)
{
    (void)user;
    on_told("progressed", "version", resource_version);
}

static void on_state(void *user, bool well, const char *words)
{
    (void)user;
    on_told(well ? "well" : "unwell", "words", words);
}

static void on_pause(void *user)
{
    struct watcher *watcher = user;

    gw_kube_watch_set_paused(watcher->watch, true);
    on_told("paused", "", NULL);
}

static void on_resume(void *user)
{
    struct watcher *watcher = user;

    gw_kube_watch_set_paused(watcher->watch, false);
}

static void on_end(void *user)
{
    struct watcher *watcher = user;

    gw_loop_stop(watcher->loop);
}

static int watcher_run(struct watcher *watcher, const struct gw_kube_options *kube,
                       const struct gw_kube_watch_options *options, struct gw_reason *reason)
{
    struct gw_signal *signals[3];

    GW_TRY(gw_loop_open(&watcher->loop));
    GW_TRY(gw_signal_open(&signals[0], watcher->loop, SIGTERM, on_end, watcher));
    GW_TRY(gw_signal_open(&signals[1], watcher->loop, SIGUSR1, on_pause, watcher));
    GW_TRY(gw_signal_open(&signals[2], watcher->loop, SIGUSR2, on_resume, watcher));
    GW_TRY(gw_kube_open(&watcher->kube, watcher->loop, kube, reason));
    GW_TRY(gw_kube_watch_open(&watcher->watch, watcher->kube, options));
    gw_loop_run(watcher->loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct watcher watcher = {0};
    struct gw_kube_options kube = {.component = "kube-watcher"};
    struct gw_kube_watch_options options = {.object = on_object,
                                            .listing = on_listing,
                                            .synced = on_synced,
                                            .progressed = on_progressed,
                                            .state = on_state,
                                            .user = &watcher};
    int64_t page_max = 0;
    const struct gw_flag flags[] = {
        {"kubeconfig", GW_FLAG_TEXT, &kube.kubeconfig, "FILE", "", NULL},
        {"path", GW_FLAG_TEXT, &options.path, "PATH", "of the collection", NULL},
        {"name", GW_FLAG_TEXT, &options.name, "NAME", "", NULL},
        {"labels", GW_FLAG_TEXT, &options.label_selector, "SELECTOR", "", NULL},
        {"fields", GW_FLAG_TEXT, &options.field_selector, "SELECTOR", "", NULL},
        {"version", GW_FLAG_TEXT, &options.resource_version, "VERSION", "go on behind it", NULL},
        {"list-at-version", GW_FLAG_BOOL, &options.list_at_version, NULL, "", NULL},
        {"keeps-nothing", GW_FLAG_BOOL, &options.keeps_nothing, NULL, "", NULL},
        {"page", GW_FLAG_INTEGER, &page_max, "COUNT", "objects of a page", NULL},
        {"silent", GW_FLAG_DURATION, &options.silent_ms, "DURATION", "without a byte: dead", NULL},
        {"objects", GW_FLAG_BOOL, &watcher.with_objects, NULL, "print them whole", NULL},
        {0},
    };
    struct gw_reason reason = {""};
    int words, fault;

    if (gw_flags_read(flags, argc, argv, &words, &reason) != 0 || words != 0 || options.path == NULL) {
        fprintf(stderr, "kube-watcher: %s\n", reason.text);
        return GW_EXIT_USAGE;
    }
    options.page_max = (size_t)page_max;
    fault = watcher_run(&watcher, &kube, &options, &reason);
    if (fault < 0)
        fprintf(stderr, "kube-watcher: %s\n", reason.text[0] != '\0' ? reason.text : gw_fault_trace());
    gw_kube_watch_close(watcher.watch);
    gw_kube_close(watcher.kube);
    gw_loop_close(watcher.loop);
    return fault < 0 ? GW_EXIT_FAULT : GW_EXIT_OK;
}
