#include "manager/app/report.h"

#include <stdlib.h>
#include <string.h>

#include "manager/app/metrics_json.h"
#include "manager/app/metrics_prometheus.h"
#include "manager/app/prometheus_targets.h"
#include "proto/wire/limits.h"

struct hb_report {
    enum hb_report_kind kind;
    struct hb_scrape scrape;
    struct hb_buf bytes;
    struct hb_worker_series *series; /* NULL: none are wanted */
    bool walked;                     /* everybody was visited */
    bool written;                    /* something was, so what comes next is separated from it */
    uint8_t last_len;                /* 0: nobody was visited yet */
    char last[HB_ID_MAX];            /* who was visited last */
};

struct hb_report *hb_report_new(enum hb_report_kind kind, const struct hb_scrape *scrape)
{
    struct hb_report *report = calloc(1, sizeof *report);
    bool with_series = kind == HB_REPORT_PROMETHEUS && scrape->per_worker;

    if (report == NULL)
        return NULL;
    report->kind = kind;
    report->scrape = *scrape;
    hb_buf_init(&report->bytes, SIZE_MAX / 2);
    report->series = with_series ? hb_worker_series_new() : NULL;
    if (with_series && report->series == NULL) {
        free(report);
        return NULL;
    }
    if (kind == HB_REPORT_PROMETHEUS)
        hb_metrics_prometheus_write(&report->bytes, scrape);
    else
        hb_buf_append_char(&report->bytes, kind == HB_REPORT_JSON ? '{' : '[');
    return report;
}

void hb_report_free(struct hb_report *report)
{
    if (report == NULL)
        return;
    hb_worker_series_free(report->series);
    hb_buf_free(&report->bytes);
    free(report);
}

/* ---- walking ---- */

static void visit(struct hb_report *report, const struct hb_worker *worker)
{
    const char *before = report->written ? ",\n" : "\n";

    switch (report->kind) {
    case HB_REPORT_JSON:
        hb_buf_append_str(&report->bytes, before);
        hb_metrics_json_worker(&report->bytes, &report->scrape, worker);
        report->written = true;
        break;
    case HB_REPORT_PROMETHEUS:
        hb_worker_series_add(report->series, &report->scrape, worker);
        break;
    case HB_REPORT_TARGETS:
        report->written |= hb_prometheus_target_write(&report->bytes, before, worker);
        break;
    }
}

/* False: all were visited. */
static bool walk(struct hb_report *report, size_t most)
{
    const struct hb_registry *registry = hb_manager_registry(report->scrape.manager);
    const struct hb_worker *worker = NULL;
    size_t place =
        report->last_len > 0 ? hb_registry_after(registry, (struct hb_text){report->last, report->last_len}) : 0;

    for (; most > 0 && place < hb_registry_count(registry); most--, place++) {
        worker = hb_registry_at(registry, place);
        hb_scrape_fetch_ahead(registry, place);
        visit(report, worker);
    }
    if (worker != NULL) {
        report->last_len = worker->id_len;
        memcpy(report->last, worker->id, worker->id_len);
    }
    return place < hb_registry_count(registry);
}

/* Of a JSON report. */
static void end(struct hb_report *report)
{
    hb_buf_append_str(&report->bytes, report->written ? "\n" : "");
    hb_buf_append_str(&report->bytes, report->kind == HB_REPORT_JSON ? "}\n" : "]\n");
}

bool hb_report_go_on(struct hb_report *report, size_t most)
{
    if (report->kind == HB_REPORT_PROMETHEUS && report->series == NULL)
        return false;
    if (!report->walked) {
        report->walked = !walk(report, most);
        if (report->walked && report->kind != HB_REPORT_PROMETHEUS)
            end(report);
        return !report->walked || report->kind == HB_REPORT_PROMETHEUS;
    }
    return hb_worker_series_join(report->series, &report->bytes);
}

struct hb_buf *hb_report_bytes(struct hb_report *report)
{
    return &report->bytes;
}
