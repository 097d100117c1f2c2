#include "tests/fuzz/world.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/wire/codec.h"
#include "tests/fuzz/fake_clock.h"
#include "tests/fuzz/fuzz.h"

void world_init(struct world *world, const struct hb_registry_rules *rules)
{
    fake_clock_reset();
    hb_log_open("fuzz", (enum hb_log_level)(HB_LOG_ERROR + 1), HB_LOG_LOGFMT); /* nothing */
    world->manager = hb_manager_new(HB_TEXT("m-1"), rules, fake_now);
    world->ingest = hb_ingest_new(world->manager);
    world->decoder = hb_decoder_new();
    world->registry = hb_manager_registry(world->manager);
    world->checked = UINT64_MAX;
}

void world_free(struct world *world)
{
    hb_decoder_free(world->decoder);
    hb_ingest_free(world->ingest);
    hb_manager_free(world->manager);
}

void world_pass(struct world *world, int64_t ms)
{
    fake_clock_pass(ms);
    while (hb_manager_expire(world->manager, fake_now, 16))
        ;
    FUZZ_CHECK(hb_manager_next_deadline(world->manager).ms > fake_now.mono.ms, "swept, yet something is due");
}

/* A row says what the worker is, and can be read back. */
static void check_row(struct world *world, const struct hb_worker *worker)
{
    struct hb_text bytes = hb_mirror_row(worker);
    struct hb_row row;
    bool seed_shape = true;

    FUZZ_CHECK(bytes.bytes != NULL, "%s has no row", worker->id);
    FUZZ_CHECK(hb_decode_row(world->decoder, bytes, &row, &seed_shape) == HB_OK && !seed_shape, "%s: %s: %.*s",
               worker->id, hb_decoder_error(world->decoder), (int)bytes.len, bytes.bytes);
    FUZZ_CHECK(hb_text_equal(row.id, hb_text_of(worker->id)), "the row of %s names %.*s", worker->id, (int)row.id.len,
               row.id.bytes);
    FUZZ_CHECK(row.status == worker->status && row.serving == worker->serving && row.announced == worker->announced &&
                   row.maintenance == worker->maintenance && row.draining == worker->draining && row.seq == worker->seq,
               "%s is %s, its row: %.*s", worker->id, hb_status_text((enum hb_status)worker->status), (int)bytes.len,
               bytes.bytes);
}

void world_check(struct world *world)
{
    const struct hb_outbox *outbox = hb_manager_outbox(world->manager);
    size_t count = hb_registry_count(world->registry);
    uint64_t version = hb_mirror_version(hb_manager_mirror(world->manager));

    if (world->checked == version)
        return;
    world->checked = version;
    FUZZ_CHECK(hb_registry_entries(world->registry) <= hb_registry_rules(world->registry)->max_workers, "too many");
    for (size_t i = 0; i < count; i++) {
        const struct hb_worker *worker = hb_registry_at(world->registry, i);

        FUZZ_CHECK(i == 0 || strcmp(hb_registry_at(world->registry, i - 1)->id, worker->id) < 0, "not in order");
        FUZZ_CHECK(hb_id_valid(hb_text_of(worker->id)), "a worker called %s", worker->id);
        check_row(world, worker);
    }
    for (size_t i = 1; i < hb_outbox_count(outbox); i++)
        FUZZ_CHECK(hb_outbox_at(outbox, i)->seq == hb_outbox_at(outbox, i - 1)->seq + 1, "a hole in the outbox");
}
