#include "manager/app/metrics_prometheus.h"

#include "manager/app/exposition.h"

/* ---- workers, counted ---- */

struct census {
    uint64_t by_status[HB_STATUSES], by_health[HB_HEALTHS];
    uint64_t serving, unverified, draining, maintenance, polled, connected;
};

static void take_census(struct census *census, const struct hb_registry *registry)
{
    for (size_t place = 0; place < hb_registry_count(registry); place++) {
        const struct hb_worker *worker = hb_registry_at(registry, place);

        hb_scrape_fetch_ahead(registry, place);
        census->by_status[worker->status]++;
        census->by_health[worker->health]++;
        census->serving += worker->serving;
        census->unverified += worker->unverified;
        census->draining += worker->draining;
        census->maintenance += worker->maintenance;
        census->polled += worker->poll != NULL;
        census->connected += worker->socket != NULL;
    }
}

static void write_census(struct hb_buf *text, const struct census *census)
{
    static const char by_status[] = "heartbeat_manager_workers";
    static const char by_health[] = "heartbeat_manager_workers_health";

    hb_exposition_head(text, by_status, "gauge", "Workers by status.");
    for (int status = HB_STATUS_UNKNOWN + 1; status < HB_STATUS_REMOVED; status++)
        hb_exposition_labelled(text, by_status, "status", hb_text_of(hb_status_text((enum hb_status)status)),
                               census->by_status[status]);
    hb_exposition_head(text, by_health, "gauge", "Workers by what polling saw last; unknown: never polled.");
    for (int health = 0; health < HB_HEALTHS; health++)
        hb_exposition_labelled(text, by_health, "health", hb_text_of(hb_health_text((enum hb_health)health)),
                               census->by_health[health]);
    hb_exposition_gauge(text, "heartbeat_manager_workers_serving", "Workers that may get traffic.", census->serving);
    hb_exposition_gauge(text, "heartbeat_manager_workers_unverified",
                        "Workers that were up before the manager restarted and have not come back yet.",
                        census->unverified);
    hb_exposition_gauge(text, "heartbeat_manager_workers_draining", "Workers that asked for no more traffic.",
                        census->draining);
    hb_exposition_gauge(text, "heartbeat_manager_workers_maintenance", "Workers that an operator took out of traffic.",
                        census->maintenance);
    hb_exposition_gauge(text, "heartbeat_manager_workers_polled", "Workers that are polled over HTTP.", census->polled);
    hb_exposition_gauge(text, "heartbeat_manager_connections", "Workers with an open WebSocket.", census->connected);
}

/* ---- what happened ---- */

static void write_beats(struct hb_buf *text, struct hb_manager *manager)
{
    const struct hb_manager_counters *counters = hb_manager_counters(manager);
    const struct hb_metrics *metrics = hb_manager_metrics(manager);

    hb_exposition_counter(text, "heartbeat_manager_beats_total", "Valid heartbeats, by WebSocket and by HTTP.",
                          counters->beats);
    hb_exposition_counter(text, "heartbeat_manager_bad_messages_total",
                          "Messages on WebSockets that were no heartbeat.", counters->bad_messages);
    hb_exposition_histogram(text, "heartbeat_manager_beat_interval_seconds",
                            "Time between two heartbeats of one worker.", &metrics->beat_interval);
    hb_exposition_histogram(text, "heartbeat_manager_detection_delay_seconds",
                            "Time from the end of a silent worker's timeout to the verdict.",
                            &metrics->detection_delay);
    hb_exposition_counter(text, "heartbeat_manager_takeovers_total",
                          "Sockets that were closed because a newer one has the same id.", metrics->takeovers);
    hb_exposition_counter(text, "heartbeat_manager_id_conflicts_total",
                          "Sockets that were refused because several processes claim the id.", metrics->id_conflicts);
}

static void write_transitions(struct hb_buf *text, struct hb_manager *manager)
{
    static const char transitions[] = "heartbeat_manager_transitions_total";
    static const char announcements[] = "heartbeat_manager_announcements_total";
    const struct hb_metrics *metrics = hb_manager_metrics(manager);

    hb_exposition_head(text, transitions, "counter", "Changes of workers that listeners care about, by reason.");
    for (int reason = HB_REASON_NONE + 1; reason < HB_REASONS; reason++)
        hb_exposition_labelled(text, transitions, "reason", hb_text_of(hb_reason_text((enum hb_reason)reason)),
                               metrics->transitions[reason]);
    hb_exposition_head(text, announcements, "counter", "Changes of serving, by the channel they are announced on.");
    for (int edge = HB_EDGE_NONE + 1; edge < HB_EDGES; edge++)
        hb_exposition_labelled(text, announcements, "channel", hb_text_of(hb_edge_channel((enum hb_edge)edge)),
                               metrics->announcements[edge]);
}

static void write_by_outcome(struct hb_buf *text, const char *name, const char *help, const uint64_t *counts)
{
    hb_exposition_head(text, name, "counter", help);
    for (int outcome = HB_POLL_NONE + 1; outcome < HB_POLL_OUTCOMES; outcome++)
        hb_exposition_labelled(text, name, "outcome", hb_text_of(hb_poll_outcome_text((enum hb_poll_outcome)outcome)),
                               counts[outcome]);
}

static void write_polls(struct hb_buf *text, struct hb_manager *manager)
{
    const struct hb_metrics *metrics = hb_manager_metrics(manager);

    write_by_outcome(text, "heartbeat_manager_polls_total", "HTTP checks of workers, by how they ended.",
                     metrics->polls);
    write_by_outcome(text, "heartbeat_manager_probes_total",
                     "Checks of workers whose socket had just broken, by how they ended.", metrics->probes);
    hb_exposition_histogram(text, "heartbeat_manager_poll_duration_seconds", "Time that an HTTP check took.",
                            &metrics->poll_duration);
}

/* ---- the mirror in Redis ---- */

static void write_waiting(struct hb_buf *text, struct hb_manager *manager)
{
    const struct hb_outbox *outbox = hb_manager_outbox(manager);

    hb_exposition_gauge(text, "heartbeat_manager_outbox_events", "Transitions that Redis has not confirmed yet.",
                        hb_outbox_count(outbox));
    hb_exposition_counter(text, "heartbeat_manager_outbox_lost_total",
                          "Transitions that were dropped because Redis was away for too long.",
                          hb_outbox_lost_ever(outbox));
    hb_exposition_gauge(text, "heartbeat_manager_dirty_rows", "Rows that Redis does not have yet as they are.",
                        hb_mirror_dirty_count(hb_manager_mirror(manager)));
}

static void write_redis(struct hb_buf *text, const struct hb_scrape *scrape)
{
    const struct hb_redis_figures *redis = &scrape->redis;

    hb_exposition_gauge(text, "heartbeat_manager_redis_up", "Whether the connection to Redis is up.", redis->up);
    hb_exposition_gauge(text, "heartbeat_manager_redis_in_step", "Whether Redis takes writes and has what it was sent.",
                        redis->in_step);
    hb_exposition_counter(text, "heartbeat_manager_redis_commands_total", "Commands sent to Redis, pings left out.",
                          redis->commands);
    hb_exposition_counter(text, "heartbeat_manager_redis_batches_total", "Batches that Redis has confirmed.",
                          redis->batches);
    hb_exposition_counter(text, "heartbeat_manager_redis_rows_total", "Rows in confirmed batches.", redis->rows);
    hb_exposition_counter(text, "heartbeat_manager_redis_events_total", "Transitions in confirmed batches.",
                          redis->events);
    hb_exposition_counter(text, "heartbeat_manager_redis_written_bytes_total",
                          "Bytes of rows and transitions in confirmed batches.", redis->bytes);
    hb_exposition_counter(text, "heartbeat_manager_redis_failures_total", "Batches that were refused or not answered.",
                          redis->failures);
    hb_exposition_counter(text, "heartbeat_manager_redis_rewrites_total",
                          "Times that all rows had to be written again.", redis->rewrites);
    hb_exposition_histogram(text, "heartbeat_manager_redis_round_trip_seconds",
                            "Time from a command to Redis to its answer.",
                            &hb_manager_metrics(scrape->manager)->redis_round_trip);
}

/* ---- the process ---- */

/* By the names that all of Prometheus' own clients use. What is not known is left out. */
static void write_process_figure(struct hb_buf *text, const char *name, const char *type, const char *help,
                                 int64_t value, unsigned decimals)
{
    if (value < 0)
        return;
    hb_exposition_head(text, name, type, help);
    hb_buf_append_str(text, name);
    hb_buf_append_char(text, ' ');
    hb_append_decimal(text, (uint64_t)value, decimals);
    hb_buf_append_char(text, '\n');
}

static void write_process(struct hb_buf *text, const struct hb_scrape *scrape)
{
    const struct hb_process_figures *process = &scrape->process;

    write_process_figure(text, "process_cpu_seconds_total", "counter", "User and system processor time spent.",
                         process->cpu_us, 6);
    write_process_figure(text, "process_start_time_seconds", "gauge", "Start of the process, since 1970.",
                         scrape->process_start_ms, 3);
    write_process_figure(text, "process_resident_memory_bytes", "gauge", "Resident memory.", process->resident_bytes,
                         0);
    write_process_figure(text, "process_virtual_memory_bytes", "gauge", "Virtual memory.", process->virtual_bytes, 0);
    write_process_figure(text, "process_open_fds", "gauge", "Open file descriptors.", process->open_fds, 0);
    write_process_figure(text, "process_max_fds", "gauge", "Most file descriptors that may be open.", process->max_fds,
                         0);
}

/* ---- all of it ---- */

static void write_self(struct hb_buf *text, struct hb_manager *manager)
{
    static const char info[] = "heartbeat_manager_build_info";

    hb_exposition_head(text, info, "gauge", "Version and name of this manager.");
    hb_buf_append_str(text, info);
    hb_buf_append_char(text, '{');
    hb_exposition_label(text, "version", HB_TEXT(HB_VERSION));
    hb_buf_append_char(text, ',');
    hb_exposition_label(text, "manager", hb_manager_id(manager));
    hb_buf_append_str(text, "} 1\n");
    hb_exposition_counter(text, "heartbeat_manager_stalls_total",
                          "Times that the manager found itself stopped or blocked.",
                          hb_manager_counters(manager)->stalls);
    hb_exposition_histogram(text, "heartbeat_manager_loop_lag_seconds", "Time that the event loop's timer came late.",
                            &hb_manager_metrics(manager)->loop_lag);
}

void hb_metrics_prometheus_write(struct hb_buf *text, const struct hb_scrape *scrape)
{
    struct hb_manager *manager = scrape->manager;
    struct census census = {0};

    take_census(&census, hb_manager_registry(manager));
    write_self(text, manager);
    write_census(text, &census);
    write_beats(text, manager);
    write_transitions(text, manager);
    write_polls(text, manager);
    write_waiting(text, manager);
    write_redis(text, scrape);
    write_process(text, scrape);
}
