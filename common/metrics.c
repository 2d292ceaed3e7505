/* Metrics in the Prometheus text exposition format 0.0.4. */
#include "common/metrics.h"

#include "common/process.h"

#include <math.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct gw_series {
    struct gw_family *family;
    struct gw_series *previous, *next; /* in the order they were made */
    unsigned users;                    /* who asked for it and did not remove it yet */
    char *labels;                      /* as exposed, without braces: a="x",b="y" */
    _Atomic double value;              /* histogram: sum */
    _Atomic uint64_t counts[]; /* histogram: of each bucket alone, the last is the one without bound */
};

struct gw_family {
    struct gw_family *next;
    enum gw_metric_kind kind;
    const char *name, *help, *labels;
    double *buckets;
    size_t buckets_count;
    void *by_labels; /* a tsearch() tree of series */
    struct gw_series *first, *last;
};

struct gw_metrics {
    struct gw_family *first, *last;
    bool process;
    double start_seconds;
};

struct gw_metrics *gw_metrics_new(void)
{
    return calloc(1, sizeof(struct gw_metrics));
}

static void series_free(struct gw_series *series)
{
    if (series == NULL)
        return;
    free(series->labels);
    free(series);
}
GW_DEFINE_CLEANUP(struct gw_series *, series_free)

static void family_free(struct gw_family *family)
{
    for (; family->first != NULL; gw_family_remove(family, family->first))
        family->first->users = 1;
    free(family->buckets);
    free(family);
}

struct gw_metrics *gw_metrics_free(struct gw_metrics *metrics)
{
    if (metrics == NULL)
        return NULL;
    while (metrics->first != NULL) {
        struct gw_family *family = metrics->first;
        metrics->first = family->next;
        family_free(family);
    }
    free(metrics);
    return NULL;
}

static bool family_set_buckets(struct gw_family *family, const double *buckets, size_t count)
{
    if (count == 0)
        return true;
    family->buckets = calloc(count, sizeof(*buckets));
    if (family->buckets == NULL)
        return false;
    memcpy(family->buckets, buckets, count * sizeof(*buckets));
    family->buckets_count = count;
    return true;
}

struct gw_family *gw_metrics_family(struct gw_metrics *metrics, enum gw_metric_kind kind, const char *name,
                                    const char *help, const char *labels, const double *buckets,
                                    size_t buckets_count)
{
    if (metrics == NULL)
        return NULL;
    for (struct gw_family *family = metrics->first; family != NULL; family = family->next) {
        if (strcmp(family->name, name) != 0)
            continue;
        assert(family->kind == kind && strcmp(family->labels, labels) == 0);
        return family;
    }
    struct gw_family *family = calloc(1, sizeof(*family));
    if (family == NULL)
        return NULL;
    *family = (struct gw_family){.kind = kind, .name = name, .help = help, .labels = labels};
    if (!family_set_buckets(family, buckets, kind == GW_HISTOGRAM ? buckets_count : 0)) {
        free(family);
        return NULL;
    }
    if (metrics->last == NULL)
        metrics->first = family;
    else
        metrics->last->next = family;
    metrics->last = family;
    return family;
}

static void write_escaped(struct gw_bytes *out, const char *text, bool quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            gw_bytes_append_text(out, "\\n");
        else if (*text == '\\' || (*text == '"' && quotes))
            gw_bytes_append(out, (char[]){'\\', *text}, 2);
        else
            gw_bytes_append_char(out, *text);
    }
}

/* a="x",b="y" from "a,b" and the values. Owned; NULL without memory. */
static char *labels_render(const char *names, const char *const *values)
{
    struct gw_bytes out = {0};

    for (size_t i = 0; *names != '\0'; i++) {
        size_t size = strcspn(names, ",");
        if (i > 0)
            gw_bytes_append_char(&out, ',');
        gw_bytes_append(&out, names, size);
        gw_bytes_append_text(&out, "=\"");
        write_escaped(&out, values[i] == NULL ? "" : values[i], true);
        gw_bytes_append_char(&out, '"');
        names += size + (names[size] == ',');
    }
    if (gw_bytes_text(&out) == NULL)
        gw_bytes_done(&out);
    return out.data;
}

static int series_compare(const void *a, const void *b)
{
    return strcmp(((const struct gw_series *)a)->labels, ((const struct gw_series *)b)->labels);
}

static void family_link(struct gw_family *family, struct gw_series *series)
{
    series->previous = family->last;
    if (family->last == NULL)
        family->first = series;
    else
        family->last->next = series;
    family->last = series;
}

struct gw_series *gw_family_series(struct gw_family *family, const char *const *values)
{
    GW_AUTO(series_freep) struct gw_series *series = NULL;

    if (family == NULL)
        return NULL;
    size_t counts = family->kind == GW_HISTOGRAM ? family->buckets_count + 1 : 0;
    series = calloc(1, sizeof(*series) + counts * sizeof(series->counts[0]));
    if (series == NULL)
        return NULL;
    series->family = family;
    series->labels = labels_render(family->labels, values);
    if (series->labels == NULL)
        return NULL;
    struct gw_series **found = tsearch(series, &family->by_labels, series_compare);
    if (found == NULL)
        return NULL;
    (*found)->users++;
    if (*found != series)
        return *found;
    family_link(family, series);
    return GW_TAKE(series);
}

void gw_family_remove(struct gw_family *family, struct gw_series *series)
{
    if (family == NULL || series == NULL || --series->users > 0)
        return;
    tdelete(series, &family->by_labels, series_compare);
    *(series->previous == NULL ? &family->first : &series->previous->next) = series->next;
    *(series->next == NULL ? &family->last : &series->next->previous) = series->previous;
    series_free(series);
}

static void value_add(_Atomic double *value, double more)
{
    double old = atomic_load_explicit(value, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(value, &old, old + more, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void gw_series_add(struct gw_series *series, double value)
{
    if (series == NULL || (series->family->kind == GW_COUNTER && !(value >= 0)))
        return;
    value_add(&series->value, value);
}

void gw_series_set(struct gw_series *series, double value)
{
    if (series != NULL)
        atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void gw_series_observe(struct gw_series *series, double value)
{
    size_t bucket = 0;

    if (series == NULL || series->family->kind != GW_HISTOGRAM)
        return;
    while (bucket < series->family->buckets_count && !(value <= series->family->buckets[bucket]))
        bucket++;
    atomic_fetch_add_explicit(&series->counts[bucket], 1, memory_order_relaxed);
    value_add(&series->value, value);
}

double gw_series_value(const struct gw_series *series)
{
    uint64_t count = 0;

    if (series == NULL)
        return 0;
    if (series->family->kind != GW_HISTOGRAM)
        return atomic_load_explicit(&series->value, memory_order_relaxed);
    for (size_t i = 0; i <= series->family->buckets_count; i++)
        count += atomic_load_explicit(&series->counts[i], memory_order_relaxed);
    return (double)count;
}

/* The shortest text that reads back as the same double. */
static void write_number(struct gw_bytes *out, double value)
{
    char text[40];

    if (isnan(value) || isinf(value)) {
        gw_bytes_append_text(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (fabs(value) < 1e15 && floor(value) == value) {
        gw_bytes_printf(out, "%.0f", value + 0.0);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    gw_bytes_append_text(out, text);
}

static void write_sample(struct gw_bytes *out, const char *name, const char *suffix, const char *labels,
                         double value)
{
    gw_bytes_append_text(out, name);
    gw_bytes_append_text(out, suffix);
    if (labels[0] != '\0') {
        gw_bytes_append_char(out, '{');
        gw_bytes_append_text(out, labels);
        gw_bytes_append_char(out, '}');
    }
    gw_bytes_append_char(out, ' ');
    write_number(out, value);
    gw_bytes_append_char(out, '\n');
}

/* Count and the last bucket are the sum of what this walk read, so that they agree while others count. */
static void write_histogram(struct gw_bytes *out, struct gw_series *series)
{
    const struct gw_family *family = series->family;
    uint64_t count = 0;

    for (size_t i = 0; i <= family->buckets_count; i++) {
        count += atomic_load_explicit(&series->counts[i], memory_order_relaxed);
        gw_bytes_printf(out, "%s_bucket{%s%sle=\"", family->name, series->labels,
                        series->labels[0] == '\0' ? "" : ",");
        write_number(out, i == family->buckets_count ? INFINITY : family->buckets[i]);
        gw_bytes_printf(out, "\"} %llu\n", (unsigned long long)count);
    }
    write_sample(out, family->name, "_sum", series->labels,
                 atomic_load_explicit(&series->value, memory_order_relaxed));
    write_sample(out, family->name, "_count", series->labels, (double)count);
}

static void write_header(struct gw_bytes *out, const char *name, const char *help, enum gw_metric_kind kind)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    gw_bytes_printf(out, "# HELP %s ", name);
    write_escaped(out, help, false);
    gw_bytes_printf(out, "\n# TYPE %s %s\n", name, kinds[kind]);
}

static void write_process(const struct gw_metrics *metrics, struct gw_bytes *out)
{
    struct gw_process process;

    gw_process_read(&process);
    const struct {
        enum gw_metric_kind kind;
        const char *name, *help;
        double value;
    } rows[] = {
        {GW_COUNTER, "process_cpu_seconds_total", "User and system CPU time spent in seconds.",
         process.cpu_seconds},
        {GW_GAUGE, "process_resident_memory_bytes", "Resident memory size in bytes.", process.resident_bytes},
        {GW_GAUGE, "process_open_fds", "Number of open file descriptors.", process.open_files},
        {GW_GAUGE, "process_max_fds", "Maximum number of open file descriptors.", process.max_files},
        {GW_GAUGE, "process_start_time_seconds", "Start time of the process since the epoch in seconds.",
         metrics->start_seconds},
    };
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        write_header(out, rows[i].name, rows[i].help, rows[i].kind);
        write_sample(out, rows[i].name, "", "", rows[i].value);
    }
}

void gw_metrics_write(struct gw_metrics *metrics, struct gw_bytes *out)
{
    if (metrics == NULL)
        return;
    for (struct gw_family *family = metrics->first; family != NULL; family = family->next) {
        write_header(out, family->name, family->help, family->kind);
        for (struct gw_series *series = family->first; series != NULL; series = series->next) {
            if (family->kind == GW_HISTOGRAM)
                write_histogram(out, series);
            else
                write_sample(out, family->name, "", series->labels, gw_series_value(series));
        }
    }
    if (metrics->process)
        write_process(metrics, out);
}

void gw_metrics_add_process(struct gw_metrics *metrics)
{
    if (metrics == NULL)
        return;
    metrics->process = true;
    metrics->start_seconds = gw_process_start_seconds();
}
