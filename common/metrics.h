/* Metrics in the Prometheus text exposition format 0.0.4. Registering: one thread. Counting: any thread, lock-free. */
#ifndef GW_METRICS_H
#define GW_METRICS_H

#include "common/bytes.h"

struct gw_metrics; /* a registry */
struct gw_family;  /* one name with its help, and its series */
struct gw_series;  /* one set of label values */

enum gw_metric_kind { GW_COUNTER, GW_GAUGE, GW_HISTOGRAM };

struct gw_metrics *gw_metrics_new(void); /* NULL without memory */
struct gw_metrics *gw_metrics_free(struct gw_metrics *metrics);

/* `name` and `help` are borrowed for ever (literals); `labels` is a comma-separated list of label names, "" for none.
 * `buckets`: upper bounds, ascending, for histograms only. NULL without memory (everything below takes NULL). */
struct gw_family *gw_metrics_family(struct gw_metrics *metrics, enum gw_metric_kind kind, const char *name,
                                    const char *help, const char *labels, const double *buckets,
                                    size_t buckets_count);
/* The series with these label values (copied), made at 0 if new. Values in the order of the label names. */
struct gw_series *gw_family_series(struct gw_family *family, const char *const *values);
/* The pointer is dead. Whoever asked for the series last takes it out of the exposition. */
void gw_family_remove(struct gw_family *family, struct gw_series *series);

void gw_series_add(struct gw_series *series, double value);     /* counter, gauge */
void gw_series_set(struct gw_series *series, double value);     /* gauge */
void gw_series_observe(struct gw_series *series, double value); /* histogram */
double gw_series_value(const struct gw_series *series);         /* counter, gauge; histogram: count */

/* All of it as text; families in the order they were registered. Process metrics (cpu, memory, descriptors, start time)
 * are added by gw_metrics_add_process(). */
void gw_metrics_write(struct gw_metrics *metrics, struct gw_bytes *out);
void gw_metrics_add_process(struct gw_metrics *metrics);

#endif
