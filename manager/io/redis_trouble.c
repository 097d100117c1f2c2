#include "manager/io/redis_trouble.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/log.h"

#define FENCED_LOG_MS 10000

void hb_redis_trouble_init(struct hb_redis_trouble *trouble)
{
    *trouble = (struct hb_redis_trouble){.state = HB_REDIS_IN_STEP};
}

/* Without the script's digest and line, which Redis appends: they differ where the cause does not. */
static void cut_cause(char cause[HB_REFUSAL_SIZE], const char *error)
{
    const char *end = strstr(error, " script: ");
    size_t len = end != NULL ? (size_t)(end - error) : strlen(error);

    snprintf(cause, HB_REFUSAL_SIZE, "%.*s", (int)(len < HB_REFUSAL_SIZE ? len : HB_REFUSAL_SIZE - 1), error);
}

void hb_redis_trouble_refused(struct hb_redis_trouble *trouble, const char *error)
{
    char cause[HB_REFUSAL_SIZE];

    trouble->state = HB_REDIS_REFUSING;
    cut_cause(cause, error);
    if (strcmp(trouble->refusal, cause) == 0)
        return;
    memcpy(trouble->refusal, cause, sizeof cause);
    hb_log(HB_LOG_ERROR, "redis_refused", HB_LS("cause", cause));
}

void hb_redis_trouble_fenced(struct hb_redis_trouble *trouble, struct hb_text manager_id)
{
    hb_mono_ms now = hb_mono_now();

    trouble->state = HB_REDIS_FENCED;
    if (trouble->fenced_logged.ms != 0 && hb_mono_between(trouble->fenced_logged, now) < FENCED_LOG_MS)
        return;
    trouble->fenced_logged = now;
    hb_log(HB_LOG_ERROR, "redis_fenced", HB_LT("manager", manager_id),
           HB_LS("cause", "another manager with the same MANAGER_ID has started later; each needs its own"));
}

void hb_redis_trouble_forget(struct hb_redis_trouble *trouble)
{
    trouble->state = HB_REDIS_IN_STEP;
}

void hb_redis_trouble_over(struct hb_redis_trouble *trouble, size_t events_waiting)
{
    if (trouble->state != HB_REDIS_IN_STEP || trouble->refusal[0] != '\0')
        hb_log(HB_LOG_INFO, "redis_recovered", HB_LI("waiting", events_waiting));
    trouble->state = HB_REDIS_IN_STEP;
    trouble->refusal[0] = '\0';
}
